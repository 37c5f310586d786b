"""Measurements to estimates. Every function names its source and raises where it has no value."""

from depthgauge.stats.changes import (
    counted,
    greatest_exactly,
    share_beyond,
    share_beyond_anywhere,
    share_changed,
    share_changed_anywhere,
)
from depthgauge.stats.columns import (
    best_lead,
    difference,
    greatest,
    lead,
    least,
    most_extreme,
    prominence,
    side_by_side,
)
from depthgauge.stats.differences import independent_difference, paired_difference, rise
from depthgauge.stats.exact import exact_factor, exactly, lead_ratio, peak_layer, peak_ratio, peaks_apart
from depthgauge.stats.levels import mean, share
from depthgauge.stats.ranks import chance_below, friedman, rank_correlation
from depthgauge.stats.sequential import sequential_difference
from depthgauge.stats.steps import change_point, largest_step, wilson
from depthgauge.stats.two_sample import classifier_auc, reliability

__all__ = [
    "best_lead",
    "chance_below",
    "change_point",
    "classifier_auc",
    "counted",
    "difference",
    "exact_factor",
    "exactly",
    "friedman",
    "greatest",
    "greatest_exactly",
    "independent_difference",
    "largest_step",
    "lead",
    "lead_ratio",
    "least",
    "mean",
    "most_extreme",
    "paired_difference",
    "peak_layer",
    "peak_ratio",
    "peaks_apart",
    "prominence",
    "rank_correlation",
    "reliability",
    "rise",
    "sequential_difference",
    "share",
    "share_beyond",
    "share_beyond_anywhere",
    "share_changed",
    "share_changed_anywhere",
    "side_by_side",
    "wilson",
]
