"""What claims ask of `training`: readings, from a candidate's measurements to numbers by unit."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.training.probe import TrainingLog

Numbers = NDArray[np.float64]


def logs(candidate: CheckpointSet, column: str) -> tuple[Measurement, ...]:
    """The log of each seed. Raises: NotTestable where there is none, or no step logged the column."""
    measurements = candidate.measure(TrainingLog())
    if not all(column in measurement.arrays for measurement in measurements):
        raise NotTestable(f"the training log of {candidate.name!r} has no {column!r}")
    return measurements


def by_step(candidate: CheckpointSet, column: str, summary: Callable[[float], float] = float, *, unit: str) -> Scores:
    """A logged quantity, step by step; 0 at a step that did not log it, as one without a gradient.

    Raises: NotTestable as `logs`.
    """
    taken = logs(candidate, column)
    values = np.array(
        [
            [0.0 if np.isnan(value) else summary(float(value)) for value in measurement.arrays[column]]
            for measurement in taken
        ]
    )
    ids = tuple(str(int(step)) for step in taken[0].arrays["step"])
    return Scores(ids=ids, values=values, unit=unit, population="steps")


def largest_jumps(candidate: CheckpointSet) -> Numbers:
    """By how much each seed's train loss rose at most, as a ratio to its least before, after it fell below 1e-4."""
    return np.array([largest_jump(measurement.arrays["train_loss"]) for measurement in logs(candidate, "train_loss")])


def largest_jump(losses: Numbers) -> float:
    """The largest ratio of a loss to the least before it, once that is below 1e-4; 1 if it never falls so far."""
    least = np.minimum.accumulate(losses)[:-1]
    ratios = (losses[1:] / least)[least < 1e-4]
    return float(max(ratios.max(initial=1.0), 1.0))
