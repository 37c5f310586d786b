"""Attention sinks: heads that park their attention on the first token (Gu et al. 2025, arXiv:2410.10781)."""

from depthgauge.probes.sinks.probe import TOKENS, Passage, Sinks
from depthgauge.probes.sinks.readings import mean_of_heads, strength, strongest_beside

__all__ = [
    "TOKENS",
    "Passage",
    "Sinks",
    "mean_of_heads",
    "strength",
    "strongest_beside",
]
