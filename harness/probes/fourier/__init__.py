"""What a one-layer transformer computes modular addition with (Nanda et al. 2023, arXiv:2301.05217).

Where nothing else is said, an array holds a number a seed. Frequencies count from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.models.folder import model_type
from depthgauge.probes.probe import PROBES, Arrays, Opened
from depthgauge.store.folders import sha256
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, digest

MODEL_TYPE = "modular_addition"
RANK = 10  # of W_L in Nanda et al. (2023, section 4.2): two directions for each of five key frequencies
MOST_KEYS = 10  # that a model which computes with a few frequencies can have
EXPLAINED = 0.85  # the published threshold of a neuron's explained variance
SNAPSHOTS = "[0-9]" * 6 + ".safetensors"  # weights on the way of a training, named by their step
Numbers = NDArray[np.float64]


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Fourier:
    """What `measures.take_apart` finds in the last weights."""

    name: ClassVar[str] = "fourier"
    version: ClassVar[int] = 2
    what: ClassVar[str] = "the frequencies"
    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_modular(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.fourier import measures, transformer

        return measures.take_apart(*transformer.load_checkpoint(one.folder))


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What `measures.along_the_way` finds in the weights kept during a training."""

    name: ClassVar[str] = "progress"
    version: ClassVar[int] = 2
    what: ClassVar[str] = "progress during training"
    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"snapshots": digest({path.name: sha256(path) for path in snapshots(one)})}

    def check(self, checkpoint: Checkpoint) -> None:
        check_modular(checkpoint)
        if not snapshots(checkpoint):
            raise NotTestable(f"{checkpoint.name!r} has no weights from the way of its training")

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.fourier import compute, measures, transformer

        weights, task = transformer.load_checkpoint(one.folder)
        return measures.along_the_way(snapshots(one.checkpoint), task, compute.key_frequencies(weights))


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


def taken_apart(subject: Subject) -> tuple[Measurement, ...]:
    return subject.measure(Fourier())


def final(subject: Subject, name: str) -> Numbers:
    """One number of `measures.take_apart`: what the weights at the end of training compute."""
    return np.array([float(one.arrays[name]) for one in taken_apart(subject)])


def key_count(subject: Subject) -> Numbers:
    """How many frequencies reach the logits."""
    return np.array([float(len(one.arrays["key_frequencies"])) for one in taken_apart(subject)])


def over_full(subject: Subject, name: str) -> Numbers:
    """A loss over the full loss on all pairs."""
    return final(subject, name) / final(subject, "loss")


def worst_over_full(subject: Subject, part: str) -> Numbers:
    """The loss of a part of the logits, 'restricted' or 'kept', over the full one: the larger ratio of
    that on all pairs and that on training pairs.
    """
    on_training = final(subject, f"{part}_train_loss") / final(subject, "train_loss")
    return np.maximum(over_full(subject, f"{part}_loss"), on_training)


def excluded_over_guessing(subject: Subject) -> Numbers:
    """The excluded loss on training pairs over that of a guess among p, ln p."""
    return final(subject, "excluded_loss") / final(subject, "guessing_loss")


def random_over_key(subject: Subject) -> Numbers:
    """The least restricted loss of random frequencies over that of the key frequencies."""
    return final(subject, "random_restricted_loss") / final(subject, "restricted_loss")


def formation_at_onset(subject: Subject) -> Numbers:
    """The excluded loss over its least before, at the last kept step whose test loss is above half its largest."""
    return np.array([formed_before_shown(one.arrays) for one in subject.measure(Progress())])


def onset(progress: Arrays) -> int:
    """The index of the last kept weights whose test loss is at least half of its largest."""
    test = progress["test_loss"]
    return int(np.flatnonzero(test >= test.max() / 2)[-1])


def formed_before_shown(progress: Arrays) -> float:
    excluded = progress["excluded_loss"][: onset(progress) + 1]
    return float(excluded[-1] / excluded.min())


def phases(progress: Arrays) -> tuple[int, int, int]:
    """The steps at which memorisation, circuit formation and clean-up end (Nanda et al. 2023, section 5.2).

    Memorisation ends where the excluded loss is least; circuit formation where the test loss has come half of its way
    down; clean-up with the training.
    """
    shown = onset(progress)
    memorised = int(progress["excluded_loss"][: shown + 1].argmin())
    return int(progress["step"][memorised]), int(progress["step"][shown]), int(progress["step"][-1])
