"""What claims ask of `showers`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Profiles, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.showers.probe import REPEATS, DrawnShowers, beside, seen, simulated_cells


def drawn(candidate: CheckpointSet) -> Profiles:
    """What is seen of the showers that a generator draws."""
    return beside(
        np.stack([seen(measurement.arrays["cells"].astype(float)) for measurement in candidate.measure(DrawnShowers())])
    )


def simulated(candidate: CheckpointSet) -> Profiles:
    """What is seen of simulated showers of the same energies, once for each of the candidate's seeds."""
    return beside(np.stack([seen(simulated_cells())] * len(candidate.measure(DrawnShowers()))))


def speed_over(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """How many times as fast as the other's the candidate's showers are drawn, by repeat."""
    pairs = zip(candidate.measure(DrawnShowers()), other.measure(DrawnShowers()), strict=True)
    values = np.stack([after.arrays["seconds"] / before.arrays["seconds"] for before, after in pairs])
    return Scores(ids=tuple(map(str, range(REPEATS))), values=values, unit="times", population="repeats")
