"""What the articles say of weight changes by layer, as numbers by seed. Layers are 0-based."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Profiles, Scores
from depthgauge.stats import exactly, paired_difference

EARLY_PART = 6  # the first sixth of the layers: 0 to 5 of 36, which the articles call early


def early(layers: int) -> int:
    """How many layers are early: a sixth of them, and one at least."""
    return max(1, layers // EARLY_PART)


def early_over_later(moved: Profiles) -> NDArray[np.float64]:
    """By seed, how far the mean early layer moved over the median of the others.

    Raises: StatisticUndefined if half of the others did not move.
    """
    by_layer = moved.values[:, 0]
    count = early(by_layer.shape[1])
    later = np.median(by_layer[:, count:], axis=1)
    if not later.all():
        raise StatisticUndefined(
            "half of the later layers did not move, so there is no ratio to their median.", code="not-moved"
        )
    return np.asarray(by_layer[:, :count].mean(axis=1) / later)


def early_norm(every: Sequence[Profiles]) -> NDArray[np.float64]:
    """By seed, the Frobenius norm of all that changed in the early layers, in weight units; one entry a projection."""
    squares = [(moved.values[:, 0, : early(moved.values.shape[2])] ** 2).sum(axis=1) for moved in every]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def least(by_projection: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """By seed, the least of what several projections have."""
    return np.asarray(np.min(by_projection, axis=0))


def peak_layers(moved: Profiles) -> NDArray[np.intp]:
    """By seed, the layer at which a projection moved most."""
    return np.asarray(moved.values[:, 0].argmax(axis=1))


def rise_at(moved: Profiles, layers: NDArray[np.intp]) -> NDArray[np.float64]:
    """By seed, how far a projection moved at the layer named for that seed over the mean of the layers next to it.

    Raises: StatisticUndefined if those did not move.
    """
    rises = []
    for row, layer in zip(moved.values[:, 0], layers.tolist(), strict=True):
        beside = np.mean([row[near] for near in (layer - 1, layer + 1) if 0 <= near < len(row)])
        if not beside:
            raise StatisticUndefined(
                f"the layers beside layer {layer} did not move, so nothing can rise above them.", code="not-moved"
            )
        rises.append(float(row[layer] / beside))
    return np.array(rises)


def log_ratio(moved: NDArray[np.float64], other: NDArray[np.float64], *, estimand: str) -> Estimate:
    """The logarithm of a ratio of norms, both by seed: exact for one seed, and between trainings Welch's t over seeds.

    Raises: StatisticUndefined if a norm is 0.
    """
    if not (moved.all() and other.all()):
        raise StatisticUndefined(f"{estimand}: a norm is 0, so there is no ratio.", code="zero")
    logs, theirs = np.log(moved), np.log(other)
    if min(len(logs), len(theirs)) == 1:
        return exactly(logs - theirs, estimand=estimand, unit="log ratio")
    sides = (
        Scores(ids=("weights",), values=side[:, None], unit="log ratio", population="weights")
        for side in (logs, theirs)
    )
    return paired_difference(*sides, estimand=estimand)
