"""What claims ask of `two_samples`: readings, from a candidate's measurements to numbers by unit."""

from depthgauge.core.estimate import Profiles
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.two_samples.probe import SampledTexts, profiles


def samples_beside(
    candidate: CheckpointSet, baseline: CheckpointSet, openings: tuple[str, ...]
) -> tuple[Profiles, Profiles]:
    """What both sample after these openings, in the hidden states of the baseline."""
    taken = candidate.compare(SampledTexts(openings=openings), baseline)
    after, before = (
        profiles([measurement.arrays[name] for measurement in taken], openings) for name in ("candidate", "baseline")
    )
    return after, before
