"""Measurements to estimates. Every function names its source and raises where it has no value."""

from harness.stats.differences import paired_difference, rise
from harness.stats.levels import mean, share

__all__ = ["mean", "paired_difference", "rise", "share"]
