"""Measurements to estimates. Every function names its source and raises where it has no value."""

from harness.stats.columns import difference, greatest, lead, least, most_extreme, prominence, side_by_side
from harness.stats.differences import paired_difference, rise
from harness.stats.levels import mean, share

__all__ = [
    "difference",
    "greatest",
    "lead",
    "least",
    "mean",
    "most_extreme",
    "paired_difference",
    "prominence",
    "rise",
    "share",
    "side_by_side",
]
