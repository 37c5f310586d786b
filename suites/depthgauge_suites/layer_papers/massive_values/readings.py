"""What claims ask of `massive_values`: readings, from a candidate's measurements to numbers by unit."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.massive_values.probe import (
    MassiveAblation,
    MassiveValues,
    Recall,
    Source,
    before_rotation,
    shared_beyond_chance,
    slowness_of,
)
from depthgauge_suites.layer_papers.massive_values.settings import FACTOR, is_massive

FEWEST_KNOWN = 10  # items of a kind that a model must answer before their loss is told
Side = Literal["q", "k"]


def share_beyond_values(candidate: CheckpointSet, texts: tuple[str, ...], side: Side) -> NDArray[np.float64]:
    """A seed, the share of numbers that are massive, less five times that share of the values."""
    taken = candidate.measure(MassiveValues(texts=texts))
    shares = [{name: is_massive(measurement.arrays[name]).mean() for name in (side, "v")} for measurement in taken]
    return np.array([share[side] - FACTOR * share["v"] for share in shares])


def shared_dimensions(candidate: CheckpointSet, texts: tuple[str, ...]) -> Scores:
    """By layer with massive queries, how much oftener than by chance another head's is massive in the same number.

    Raises: NotTestable with one head a layer, or without massive queries in most layers.
    """
    shared = [
        shared_beyond_chance(is_massive(measurement.arrays["q"]))
        for measurement in candidate.measure(MassiveValues(texts=texts))
    ]
    return by_layer(shared, candidate.name, "share")


def slowness(candidate: CheckpointSet, texts: tuple[str, ...]) -> Scores:
    """By layer with massive keys, how slowly their numbers rotate: 0 is the fastest number, 1 the slowest.

    Raises: NotTestable without rotary positions, or without massive keys in most layers.
    """
    slow = []
    for measurement in candidate.measure(MassiveValues(texts=texts)):
        if "speeds" not in measurement.arrays:
            raise NotTestable(f"{candidate.name!r} has no rotary positions: none of its numbers rotates slowly or fast")
        slow.append(slowness_of(is_massive(before_rotation(measurement.arrays)), measurement.arrays["speeds"]))
    return by_layer(slow, candidate.name, "rank")


def by_layer(of_seeds: list[NDArray[np.float64]], name: str, unit: str) -> Scores:
    values = np.stack(of_seeds)
    layers = np.flatnonzero(np.isfinite(values).all(axis=0))
    if 2 * len(layers) < values.shape[1]:
        raise NotTestable(
            f"{name!r} has massive values in {len(layers)} of its {values.shape[1]} layers, which are fewer than half"
        )
    ids = tuple(f"layer {layer}" for layer in layers)
    return Scores(ids=ids, values=values[:, layers], unit=unit, population="layers")


def lost_beyond_random(
    candidate: CheckpointSet, texts: tuple[str, ...], recalls: tuple[Recall, ...], source: Source
) -> Scores:
    """Per item that the intact model answers, nats lost with the massive values, less those with as many others.

    Raises: NotTestable where it has no massive values, or answers fewer than 10 of that kind.
    """
    taken = candidate.measure(MassiveAblation(texts=texts, recalls=recalls))
    asked = np.array([each.source == source for each in recalls])
    known = asked & np.all([measurement.arrays["intact_right"] for measurement in taken], axis=0)
    if known.sum() < FEWEST_KNOWN:
        raise NotTestable(
            f"{candidate.name!r} answers {known.sum()} of {asked.sum()} questions from {source}, and what it loses is "
            f"told of {FEWEST_KNOWN} or more"
        )
    lost = np.stack([measurement.arrays["random"].mean(0) - measurement.arrays["massive"] for measurement in taken])
    ids = tuple(each.prompt for each, kept in zip(recalls, known, strict=True) if kept)
    return Scores(ids=ids, values=lost[:, known].astype(float), unit="nats", population="items")
