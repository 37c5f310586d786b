"""Copies of the baseline that are rounded as the candidate is: what rounding does, and nothing else."""

from depthgauge.probes.twins.probe import CopyErrors, TwinErrors
from depthgauge.probes.twins.readings import largest_beside_twins, rounded_as, texts_of

__all__ = ["CopyErrors", "TwinErrors", "largest_beside_twins", "rounded_as", "texts_of"]
