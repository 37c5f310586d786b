"""What a one-layer transformer computes modular addition with (Nanda et al. 2023, arXiv:2301.05217).

Where nothing else is said, an array holds a number a seed. Frequencies count from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle
from depthgauge.sources.folder import model_type
from depthgauge.store.folders import sha256
from depthgauge_suites.grokking.fourier.settings import MODEL_TYPE

SNAPSHOTS = "[0-9]" * 6 + ".safetensors"  # weights on the way of a training, named by their step


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Fourier:
    """What `measures.take_apart` finds in the last weights."""

    name: ClassVar[str] = "fourier"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "the frequencies"
    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_modular(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.grokking.fourier import measures, transformer

        return measures.take_apart(*transformer.load_checkpoint(checkpoint.folder))


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What `measures.along_the_way` finds in the weights kept during a training."""

    name: ClassVar[str] = "progress"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "progress during training"
    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"snapshots": digest({path.name: sha256(path) for path in snapshots(checkpoint)})}

    def check(self, checkpoint: Checkpoint) -> None:
        check_modular(checkpoint)
        if not snapshots(checkpoint):
            raise NotTestable(f"{checkpoint.name!r} has no weights from the way of its training")

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.grokking.fourier import compute, measures, transformer

        weights, task = transformer.load_checkpoint(checkpoint.folder)
        return measures.along_the_way(snapshots(checkpoint.checkpoint), task, compute.key_frequencies(weights))


def check_modular(checkpoint: Checkpoint) -> None:
    """Raises: NotTestable for a checkpoint of another kind."""
    kind = model_type(checkpoint.folder)
    if kind != MODEL_TYPE:
        raise NotTestable(
            f"{checkpoint.folder} is a {kind} checkpoint, and this is defined for {MODEL_TYPE} checkpoints."
        )


def snapshots(checkpoint: Checkpoint) -> list[Path]:
    """The weights kept on the way of a training, in their order."""
    return sorted((checkpoint.folder / "trajectory").glob(SNAPSHOTS))


def onset(progress: Arrays) -> int:
    """The index of the last kept weights whose test loss is at least half of its largest."""
    test = progress["test_loss"]
    return int(np.flatnonzero(test >= test.max() / 2)[-1])


def phases(progress: Arrays) -> tuple[int, int, int]:
    """The steps at which memorisation, circuit formation and clean-up end (Nanda et al. 2023, section 5.2).

    Memorisation ends where the excluded loss is least; circuit formation where the test loss has come half of its way
    down; clean-up with the training.
    """
    shown = onset(progress)
    memorised = int(progress["excluded_loss"][: shown + 1].argmin())
    return int(progress["step"][memorised]), int(progress["step"][shown]), int(progress["step"][-1])
