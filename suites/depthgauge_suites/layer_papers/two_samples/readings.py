"""What claims ask of `two_samples`: readings, from a subject's measurements to numbers by unit."""

from depthgauge.core.estimate import Profiles
from depthgauge.measure.subject import Subject
from depthgauge_suites.layer_papers.two_samples.probe import SampledTexts, profiles


def samples_beside(subject: Subject, old: Subject, openings: tuple[str, ...]) -> tuple[Profiles, Profiles]:
    """What both sample after these openings, in the hidden states of the old one."""
    taken = subject.compare(SampledTexts(openings=openings), old)
    new, its = (profiles([one.arrays[name] for one in taken], openings) for name in ("new", "old"))
    return new, its
