"""What differs between two checkpoint folders as transformers reads them, each difference a text that names it.

Of the weights, headers alone. What re-saving may change without changing what is computed is no difference: which
fields are left out, how merges are written, which shard holds a tensor, in which dtype.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from depthgauge.formats.as_loaded import as_loaded
from depthgauge.formats.folder import tensors
from depthgauge.formats.fused import fused_in, told_apart
from depthgauge.formats.parts import has_vocabulary
from depthgauge.formats.tensors import Tensor, configuration
from depthgauge.models import settings
from depthgauge.models.files import GENERATION, read_config, read_json, shapes
from depthgauge.probes.files.settings import QUANTIZED
from depthgauge.sources.folder import UNCOMPUTED
from depthgauge.sources.notes import as_list
from depthgauge.sources.tokenizer import ADDED, WORD, Tokenization, added_tokens, flat, read_pair

# Fields of a configuration that need no transformers to say that they are read, where both folders give a value; any
# other one is looked up.
READ_BY_MANY = (
    "rope_parameters", "rope_theta", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "num_attention_heads",
    "num_key_value_heads", "head_dim", "hidden_act", "tie_word_embeddings",
)  # fmt: skip
OLD_ROPE_TYPE = "rope_parameters.type"  # which transformers reads as rope_type, and leaves beside it
DRAWN = ("initializer_range", "initializer_factor", "init_std")  # read where weights are drawn; a GGUF has none of them
# Settings of generation that change how fast it runs or what it returns beside the text, and not the text.
UNSAID = (
    "transformers_version", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "disable_compile",
    "compile_config", "low_memory", "prefill_chunk_size",
)  # fmt: skip
SPECIAL = ("eos_token_id", "pad_token_id", "bos_token_id")  # that trainers set to the tokenizer's, the worst first
LONGEST = 60  # characters of a value that are shown


def differences(candidate: Path, baseline: Path) -> dict[str, list[str]]:
    """The differences of `candidate` from `baseline`, by the part in which they lie.

    What the files say alone is not read by transformers: importing it takes longer than all the rest.
    """
    return differences_and_additions(candidate, baseline)[0]


def differences_and_additions(candidate: Path, baseline: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """`differences`, and those of them, by the same parts, that a training adds: tokens, rows for them at the end of
    the vocabulary, a chat template where there was none.
    """
    first, second = read_pair(candidate, baseline)
    config, ids = apart(config_differences(candidate, baseline))
    generation, generation_ids = apart(generation_differences(candidate, baseline))
    special = [f"config.json: {text}" for text in ids] + [f"{GENERATION}: {text}" for text in generation_ids]
    by_tokenizer = changed(first.special, second.special)
    special += [f"tokenizer: {text}" for text in by_tokenizer]
    parts = {
        "tensors": tensor_differences(candidate, baseline),
        "config": config,
        "tokenizer": [
            *changed(first.cuts | first.beside, second.cuts | second.beside),
            *alone(first, second),
            *([] if without_row(baseline, second.cuts) else without_row(candidate, first.cuts)),
        ],
        "special tokens": special,
        "unaligned special tokens": [*unaligned(candidate, ids, generation_ids), *never_ends(candidate, by_tokenizer)],
        "chat template": changed(first.template, second.template),
        "generation": generation,
    }
    added = {
        "tensors": [text for text in parts["tensors"] if is_grown(text)],
        "config": [text for text in config if field_of(text) == "vocab_size" and is_grown(text)],
        "tokenizer": changed(*added_tokens(first.cuts, second.cuts)),
        "chat template": [] if second.template else parts["chat template"],
    }
    return parts, added


def is_grown(text: str) -> bool:
    """Whether a difference is that a vocabulary has more entries, and nothing else."""
    name, _, values = text.partition(": ")
    before, _, after = values.partition(" -> ")
    numbers = [[int(number) for number in re.findall(r"\d+", value)] for value in (before, after)]
    if field_of(text) != "vocab_size" and not has_vocabulary(name):
        return False
    return all(numbers) and numbers[1][0] > numbers[0][0] and numbers[1][1:] == numbers[0][1:]


def without_row(folder: Path, cuts: Mapping[str, Any]) -> list[str]:
    """The last token, where the model's embedding has no row for it: a text that holds it cannot be read."""
    ids = {name: index for name, index in cuts.items() if name.startswith((ADDED, WORD)) and isinstance(index, int)}
    last = max(ids, key=lambda name: ids[name], default="")
    size = configuration(folder).get("vocab_size")
    if not last or not size or ids[last] < size:
        return []
    return [f"{last}: its id is {ids[last]}, and the model has rows for {size} tokens"]


def alone(candidate: Tokenization, baseline: Tokenization) -> list[str]:
    """What the candidate's tokenizer.json does without transformers, where that is news."""
    return [
        f"{name}: {shown(value)}, and transformers makes its own"
        for name, value in candidate.alone.items()
        if baseline.alone.get(name) != value
    ]


def unaligned(candidate: Path, config: Sequence[str], generation: Sequence[str]) -> list[str]:
    """Of changed token ids in the configuration and the settings of generation, those that are not the tokenizer's:
    trainers set them to its ids, or to none for what it has not.
    """
    if not (config or generation):
        return []
    tokenizer = settings.tokenizer(candidate)
    read = {"config.json": settings.configuration(candidate).to_dict(), GENERATION: settings.generation(candidate)}
    changed_ids = [("config.json", text) for text in config] + [(GENERATION, text) for text in generation]
    return [
        f"{file}: {text}, and the tokenizer has {getattr(tokenizer, name)}"
        for file, text in changed_ids
        if not is_aligned(name := text.partition(":")[0], read[file].get(name), getattr(tokenizer, name, None))
    ]


def never_ends(candidate: Path, by_tokenizer: Sequence[str]) -> list[str]:
    """Another end of answers in the tokenizer, where generation does not end at it."""
    text = next((text for text in by_tokenizer if field_of(text) == "eos_token"), None)
    if text is None:
        return []
    ends = as_list(settings.generation(candidate).get("eos_token_id"))
    token = settings.tokenizer(candidate).eos_token_id
    return [] if token in ends else [f"tokenizer: {text}, id {token}, and generation ends at {ends or None}"]


def is_aligned(name: str, value: Any, token: int | None) -> bool:
    if value is None:
        return name != "eos_token_id" or token is None
    return token in as_list(value)


def apart(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Differences that are not about special tokens, and those that are."""
    special = sorted(
        (text for text in texts if field_of(text) in SPECIAL), key=lambda text: SPECIAL.index(field_of(text))
    )
    return [text for text in texts if field_of(text) not in SPECIAL], special


def field_of(text: str) -> str:
    """The field that a difference is about, whatever it lies in."""
    return text.partition(":")[0].rpartition(".")[2]


def fused_notes(candidate: Path, baseline: Path) -> list[str]:
    """Which matrices one folder has fused and the other apart."""
    first, second = (fused_in(shapes(folder)) for folder in (candidate, baseline))
    return [
        f"{module} {'is fused and was not' if module in first else 'was fused and is not'}: compared told apart"
        for module in sorted(first ^ second)
    ]


def tensor_differences(candidate: Path, baseline: Path) -> list[str]:
    """Names that one folder has and the other has not, and shapes, of the tensors that a model reads, as it loads them.

    A tensor without elements, as a sharded training leaves it, is missing.
    """
    if shapes(candidate) == shapes(baseline):
        return []
    first, second = (shapes_of(tensors(folder)) for folder in (candidate, baseline))
    if first.keys() != second.keys():
        first, second = (shapes_of(as_loaded(folder)) for folder in (candidate, baseline))
    if first.keys() != second.keys():
        first, second = (
            shapes_of(told_apart(as_loaded(folder), configuration(folder))) for folder in (candidate, baseline)
        )
    texts = [*prefix(first, second), *(f"{name} is missing" for name in second if name not in first)]
    both = [name for name in second if name in first and first[name] != second[name]]
    texts += [f"{name}: {second[name]} -> {first[name]}" for name in both]
    return texts + [f"{name} is new" for name in first if name not in second]


def prefix(candidate: Collection[str], baseline: Collection[str]) -> list[str]:
    """That all names of the candidate are those of the baseline behind some word more."""
    last = min(baseline, key=len, default="")
    before = next((name.removesuffix(last) for name in candidate if last and name.endswith(f".{last}")), "")
    if not before or {f"{before}{name}" for name in baseline} != {*candidate}:
        return []
    return [f"every name has the prefix {before!r}, under which transformers reads none of the weights"]


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in weights.items()}


def config_differences(candidate: Path, baseline: Path) -> list[str]:
    """Fields that say what is computed; where one folder leaves some out, with their defaults."""
    first, second = (dict(flat(read_config(folder))) for folder in (candidate, baseline))
    other = [name for name in {*first, *second} if first.get(name) != second.get(name)]
    looked_up = [name for name in other if name.split(".")[0] not in (*UNCOMPUTED, QUANTIZED)]
    if first.keys() != second.keys() or not all(
        name.split(".")[0] in READ_BY_MANY and None not in (first[name], second[name]) for name in looked_up
    ):
        first, second = (dict(flat(settings.fields_read(folder))) for folder in (candidate, baseline))
    return [] if first == second else changed(computed(first), computed(second))


def computed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say what is computed; a token and a list of it alone are the same."""
    unread = (*UNCOMPUTED, QUANTIZED, *DRAWN)
    kept = {
        name: value
        for name, value in fields.items()
        if name != OLD_ROPE_TYPE and not any(part in unread for part in name.split("."))
    }
    return {name: effective(name, value) for name, value in kept.items()}


def effective(name: str, value: Any) -> Any:
    """One writing for what has several: the tokens that end an answer are a set."""
    return sorted(as_list(value)) if name.rpartition(".")[2] == "eos_token_id" and value is not None else value


def generation_differences(candidate: Path, baseline: Path) -> list[str]:
    """Of how the models generate where they are not told: by a file, or else by the configuration."""
    first, second = (
        dict(flat(read_json(path))) if path.is_file() else None
        for path in (candidate / GENERATION, baseline / GENERATION)
    )
    if first is None or second is None or first.keys() != second.keys():
        first, second = (dict(flat(settings.generation(folder))) for folder in (candidate, baseline))
    return changed(affecting(first), affecting(second))


def affecting(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that change what is said."""
    kept = {name: value for name, value in fields.items() if name[0] != "_" and name.partition(".")[0] not in UNSAID}
    return {name: effective(name, value) for name, value in kept.items()}


def changed(candidate: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    """Fields of other values, in the order of `baseline`; a field that is not there is None."""
    names = (name for name in dict.fromkeys((*baseline, *candidate)) if baseline.get(name) != candidate.get(name))
    return [f"{name}: {shown(baseline.get(name))} -> {shown(candidate.get(name))}" for name in names]


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
