"""The greedy trace: what a model says when it always takes the likeliest token, how sure it is, how it repeats
itself.
"""

from depthgauge.probes.greedy_entropy.probe import GreedyEntropy, Opening
from depthgauge.probes.greedy_entropy.readings import (
    collapses,
    diversity,
    entropy,
    entropy_beside,
    loops_beside,
    new_collapses,
)

__all__ = [
    "GreedyEntropy",
    "Opening",
    "collapses",
    "diversity",
    "entropy",
    "entropy_beside",
    "loops_beside",
    "new_collapses",
]
