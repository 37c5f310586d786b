"""What a checkpoint would say next, beside another one: the divergence of the two at every token of every text."""

from depthgauge.probes.divergence.probe import NextToken
from depthgauge.probes.divergence.readings import change, changed_share, greatest_kl, mean_kl, median_kl, same_share

__all__ = [
    "NextToken",
    "change",
    "changed_share",
    "greatest_kl",
    "mean_kl",
    "median_kl",
    "same_share",
]
