"""What claims ask of `files`: readings, from a candidate's measurements to numbers by unit."""

from collections.abc import Sequence

from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.files.probe import ADDED, IN_ALL, FilesDifference

NAMED = 3  # differences that a claim's sentence names
# The file of each part; of special tokens a difference names it itself.
FILES = {
    "config": "config", "generation": "generation_config", "tokenizer": "tokenizer", "chat template": "chat_template",
    "tensors": "tensors",
}  # fmt: skip


def differences(candidate: CheckpointSet, baseline: CheckpointSet, part: str) -> tuple[int, str]:
    """How many there are in a part, tensors, config, tokenizer, chat template or generation, and the first of them as
    one text. Those that the run allows, and of a trained successor those that a training adds, are not counted, and
    named after the others.
    """
    (taken,) = candidate.compare(FilesDifference(), baseline)
    context, counts = candidate.context, f"{part} {ADDED} {IN_ALL}"
    grown = context.additions and counts in taken.arrays
    added = [str(text) for text in taken.arrays[f"{part} {ADDED}"]] if grown else []
    listed = [str(text) for text in taken.arrays[part] if str(text) not in added]
    allowed = [text for text in listed if is_allowed(field_of(part, text), context.allowed)]
    in_all = int(taken.arrays[counts]) if grown else 0
    count = int(taken.arrays[f"{part} {IN_ALL}"]) - len(allowed) - in_all
    refused = named([text for text in listed if text not in allowed], count)
    declared = named([f"allowed: {text}" for text in allowed], len(allowed))
    return count, "; ".join([*refused, *declared, *named([f"added: {text}" for text in added], in_all)])


def named(texts: Sequence[str], in_all: int) -> list[str]:
    """The first of them, and how many more there are."""
    return [*texts[:NAMED], f"and {in_all - NAMED:,} more"] if in_all > NAMED else list(texts)


def field_of(part: str, text: str) -> str:
    """What a difference is of, as it is named to allow it: 'generation_config.eos_token_id'."""
    first, _, rest = text.partition(": ")
    if part in FILES:
        return f"{FILES[part]}.{first}"
    return f"{first.removesuffix('.json')}.{rest.partition(': ')[0]}"


def is_allowed(field: str, allowed: Sequence[str]) -> bool:
    """Whether a field, or what holds it, is among those that may differ."""
    return any(field == name or field.startswith(f"{name}.") for name in allowed)
