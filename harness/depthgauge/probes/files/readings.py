"""What claims ask of `files`: readings, from a candidate's measurements to numbers by unit."""

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.models.files import read_config
from depthgauge.probes.files.probe import IN_ALL, FilesDifference
from depthgauge.probes.files.settings import QUANTIZED


def differences(candidate: CheckpointSet, baseline: CheckpointSet, part: str) -> tuple[int, str]:
    """How many there are in a part, tensors, config, tokenizer, chat template or generation, and the first of them.

    Raises: NotTestable for the tensors of a quantised checkpoint, which have other names and shapes.
    """
    mine, its = candidate.checkpoints[0], baseline.checkpoints[0]
    if part == "tensors" and quantized(mine) != quantized(its):
        raise NotTestable(
            f"one of {candidate.name!r} and {baseline.name!r} is stored quantised, as tensors of other shapes"
        )
    (taken,) = candidate.compare(FilesDifference(), baseline)
    return int(taken.arrays[f"{part} {IN_ALL}"]), str(next(iter(taken.arrays[part]), ""))


def quantized(one: Checkpoint) -> bool:
    return QUANTIZED in read_config(one.folder)
