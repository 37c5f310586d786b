"""What claims ask of `head_sharing`: readings, from a candidate's measurements to numbers by unit."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.head_sharing.probe import HeadSharing
from depthgauge_suites.layer_papers.head_sharing.settings import Comparison

FEWEST = 5  # comparisons that a layer must repair before its heads are told apart
Parity = Literal["even", "odd"]


def taken(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    return candidate.measure(HeadSharing(comparisons=candidate.inputs(Comparison)))


def depends_on_form(candidate: CheckpointSet) -> Scores:
    """Per comparison, 1 if one form is answered right and another one wrong."""
    right = np.stack([measurement.arrays["right"] for measurement in taken(candidate)])
    return scores(candidate, np.logical_and(right.any(2), ~right.all(2)))


def repaired_by(candidate: CheckpointSet, parity: Parity) -> Scores:
    """Per comparison that all heads of the best layer repair, 1 if those of one parity do.

    Raises: NotTestable where a layer has one head, or repairs fewer than 5.
    """
    repairs = np.stack([measurement.arrays[parity] for measurement in repairing(candidate)])
    return scores(candidate, repairs, np.isfinite(repairs).all(0))


def curve(candidate: CheckpointSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By seed and number of even heads patched, how often they repair, and of how many tries.

    Raises: NotTestable as `repaired_by`.
    """
    measurements = repairing(candidate)
    successes, tried = (
        np.stack([measurement.arrays[name] for measurement in measurements]) for name in ("successes", "tried")
    )
    return successes, tried


def repairing(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    measurements = taken(candidate)
    for measurement in measurements:
        repaired = int(measurement.arrays["repaired"].sum(0).max())
        if measurement.arrays["heads"] < 2:
            raise NotTestable(f"{candidate.name!r} has one head a layer, and even ones cannot be told from odd ones")
        if repaired < FEWEST:
            raise NotTestable(
                f"all heads of the best layer of {candidate.name!r} repair {repaired} comparisons, and {FEWEST} are "
                "needed before its heads are told apart"
            )
    return measurements


def scores(candidate: CheckpointSet, values: NDArray[Any], kept: NDArray[np.bool_] | None = None) -> Scores:
    names = [each.forms[0].text for each in candidate.inputs(Comparison)]
    kept = np.ones(len(names), bool) if kept is None else kept
    ids = tuple(name for name, is_kept in zip(names, kept, strict=True) if is_kept)
    return Scores(ids=ids, values=values[:, kept].astype(float), unit="share", population="prompts", right=1.0)
