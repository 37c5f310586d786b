"""Texts that two checkpoints sample after the same openings, as the baseline reads them: can they be told apart?"""

from depthgauge_suites.layer_papers.two_samples.readings import samples_beside

__all__ = [
    "samples_beside",
]
