"""What claims ask of `gaussian_weights`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Profiles
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.gaussian_weights.probe import GaussianWeights


def departures(candidate: CheckpointSet, size: str) -> Profiles:
    """By matrix, one of `SIZES`; the mean's without its sign.

    Raises: NotTestable for a matrix whose weights are all equal, naming it.
    """
    taken = candidate.measure(GaussianWeights())
    names = list(map(str, taken[0].arrays["names"]))
    values = np.stack(
        [np.abs(measurement.arrays[size]) if size == "mean" else measurement.arrays[size] for measurement in taken]
    )
    for place in np.flatnonzero(np.isnan(values).any(axis=0)):
        raise NotTestable(f"all weights of {names[place]} are equal, as of {candidate.name!r}: they have no shape")
    return Profiles(ids=("weights",), columns=tuple(names), values=values[:, None], unit=size, population="weights")
