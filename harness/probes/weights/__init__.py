"""How far weights moved from another checkpoint's, and where: two folders of safetensors, no model loaded.

Layers are 0-based. Shapes: P projections, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model, unlike_is_not_testable
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Profiles

TOLERANCE = 1e-5


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class WeightDeltas:
    """Arrays of `measures.by_projection`: norms of the change by projection and layer."""

    name: ClassVar[str] = "weights"
    version: ClassVar[int] = 2
    what: ClassVar[str] = "how far weights moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"tolerance": TOLERANCE}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.weights.measures import by_projection

        with unlike_is_not_testable():
            return by_projection(one.folder, other.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class OtherDeltas:
    """Arrays of `measures.of_others`: how far what is no matrix of a layer's attention or MLP moved."""

    name: ClassVar[str] = "other_weights"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "how far norms and embeddings moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.weights.measures import of_others

        with unlike_is_not_testable():
            return of_others(one.folder, other.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeRanks:
    """Array `ranks` (L,): the rank of a projection's change, NaN where a layer has none."""

    projection: str
    name: ClassVar[str] = "change_ranks"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "ranks of what moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"projection": self.projection}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.weights.measures import ranks_of_change

        with unlike_is_not_testable():
            return {"ranks": ranks_of_change(one.folder, other.folder, self.projection)}


def change_rank(subject: Subject, base: Subject, projection: str) -> NDArray[np.float64]:
    """A seed, the largest rank over layers of a projection's change from the base."""
    taken = subject.compare(ChangeRanks(projection=projection), base)
    return np.array([float(np.nanmax(one.arrays["ranks"])) for one in taken])


def deltas(subject: Subject, base: Subject) -> tuple[Measurement, ...]:
    """How far each seed's weights moved from the base."""
    return subject.compare(WeightDeltas(), base)


def movement(subject: Subject, base: Subject, projection: str, *, per_weight: bool = False) -> Profiles:
    """By layer, the Frobenius norm of a projection's change from the base; root mean square when `per_weight`.

    Raises: NotTestable if the checkpoint has no such projections.
    """
    taken = deltas(subject, base)
    known = list(map(str, taken[0].arrays["projections"]))
    if projection not in known:
        raise NotTestable(f"{subject.name!r} has no {projection!r} projections; it has {', '.join(known)}")
    place = known.index(projection)
    values = np.stack([one.arrays["rms" if per_weight else "frobenius"][place] for one in taken])
    layers = tuple(map(str, range(values.shape[1])))
    return Profiles(
        ids=("weights",), columns=layers, values=values[:, None], unit="weight units", population="weights"
    )  # fmt: skip


def out_of_line(subject: Subject, base: Subject) -> Profiles:
    """By layer and projection, 'layer 12 down', how far it moved over how far that projection moved in the mean layer.

    NaN where a layer has no such projection, or no layer's moved.
    """
    moved = over_layers(subject, base, "rms", unit="times the mean layer")
    names = [column.rsplit(" ", 1)[1] for column in moved.columns]
    values = np.full_like(moved.values, np.nan)
    for name in set(names):
        places = [place for place, other in enumerate(names) if other == name]
        mean = np.nanmean(moved.values[..., places], axis=-1, keepdims=True)
        values[..., places] = moved.values[..., places] / np.where(mean > 0, mean, np.nan)
    return replace(moved, values=values)


def relative_change(subject: Subject, base: Subject) -> Profiles:
    """By layer and projection, 'layer 12 down', the norm of the change over that of the base's weights.

    In the order of the layers; NaN where a layer has no such projection.
    """
    return over_layers(subject, base, "relative", unit="share")


def over_layers(subject: Subject, base: Subject, array: str, *, unit: str) -> Profiles:
    taken = deltas(subject, base)
    names = list(map(str, taken[0].arrays["projections"]))
    values = np.stack([one.arrays[array].T.ravel() for one in taken])
    layers = range(taken[0].arrays[array].shape[1])
    columns = tuple(f"layer {layer} {name}" for layer in layers for name in names)
    return Profiles(ids=("weights",), columns=columns, values=values[:, None], unit=unit, population="weights")


def relative_change_of_others(subject: Subject, base: Subject) -> Profiles:
    """By norm, bias, embedding and head, the norm of the change over that of the base's; 1 where the base's is 0."""
    taken = subject.compare(OtherDeltas(), base)
    values = np.stack([one.arrays["relative"] for one in taken])
    return Profiles(
        ids=("weights",), columns=tuple(map(str, taken[0].arrays["names"])), values=values[:, None], unit="share",
        population="weights",
    )  # fmt: skip
