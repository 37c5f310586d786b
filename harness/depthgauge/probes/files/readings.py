"""What claims ask of `files`: readings, from a candidate's measurements to numbers by unit."""

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.models.files import read_config
from depthgauge.probes.files.probe import IN_ALL, FilesDifference
from depthgauge.probes.files.settings import QUANTIZED

NAMED = 3  # differences that a claim's sentence names


def differences(candidate: CheckpointSet, baseline: CheckpointSet, part: str) -> tuple[int, str]:
    """How many there are in a part, tensors, config, tokenizer, chat template or generation, and the first of them as
    one text.

    Raises: NotTestable for the tensors of a quantised checkpoint, which have other names and shapes.
    """
    mine, its = candidate.checkpoints[0], baseline.checkpoints[0]
    if part == "tensors" and quantized(mine) != quantized(its):
        raise NotTestable(
            f"one of {candidate.name!r} and {baseline.name!r} is stored quantised, as tensors of other shapes"
        )
    (taken,) = candidate.compare(FilesDifference(), baseline)
    count, texts = int(taken.arrays[f"{part} {IN_ALL}"]), [str(text) for text in taken.arrays[part][:NAMED]]
    return count, "; ".join([*texts, f"and {count - NAMED:,} more"] if count > NAMED else texts)


def quantized(one: Checkpoint) -> bool:
    return QUANTIZED in read_config(one.folder)
