"""What claims ask of `showers`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Profiles, Scores
from depthgauge.measure.subject import Subject
from depthgauge_suites.layer_papers.showers.probe import REPEATS, DrawnShowers, beside, seen, simulated_cells


def drawn(subject: Subject) -> Profiles:
    """What is seen of the showers that a generator draws."""
    return beside(np.stack([seen(one.arrays["cells"].astype(float)) for one in subject.measure(DrawnShowers())]))


def simulated(subject: Subject) -> Profiles:
    """What is seen of simulated showers of the same energies, once for each of the subject's seeds."""
    return beside(np.stack([seen(simulated_cells())] * len(subject.measure(DrawnShowers()))))


def speed_over(subject: Subject, other: Subject) -> Scores:
    """How many times as fast as the other's the subject's showers are drawn, by repeat."""
    pairs = zip(subject.measure(DrawnShowers()), other.measure(DrawnShowers()), strict=True)
    values = np.stack([its.arrays["seconds"] / mine.arrays["seconds"] for mine, its in pairs])
    return Scores(ids=tuple(map(str, range(REPEATS))), values=values, unit="times", population="repeats")
