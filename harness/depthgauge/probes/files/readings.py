"""What claims ask of `files`: readings, from a candidate's measurements to numbers by unit."""

from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.files.probe import IN_ALL, FilesDifference

NAMED = 3  # differences that a claim's sentence names


def differences(candidate: CheckpointSet, baseline: CheckpointSet, part: str) -> tuple[int, str]:
    """How many there are in a part, tensors, config, tokenizer, chat template or generation, and the first of them as
    one text.
    """
    (taken,) = candidate.compare(FilesDifference(), baseline)
    count, texts = int(taken.arrays[f"{part} {IN_ALL}"]), [str(text) for text in taken.arrays[part][:NAMED]]
    return count, "; ".join([*texts, f"and {count - NAMED:,} more"] if count > NAMED else texts)
