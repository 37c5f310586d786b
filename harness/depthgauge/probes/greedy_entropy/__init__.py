"""The greedy trace: what a model says when it always takes the likeliest token, how sure it is, how it repeats
itself.
"""

from depthgauge.probes.greedy_entropy.entropy import COLLAPSE_NATS
from depthgauge.probes.greedy_entropy.probe import GreedyEntropy, Opening
from depthgauge.probes.greedy_entropy.readings import (
    collapses,
    distance_by_step,
    diversity,
    entropy,
    entropy_beside,
    loop_lengths,
    loops,
    loops_beside,
    new_collapses,
    smoothed_entropy,
)

__all__ = [
    "COLLAPSE_NATS",
    "GreedyEntropy",
    "Opening",
    "collapses",
    "distance_by_step",
    "diversity",
    "entropy",
    "entropy_beside",
    "loop_lengths",
    "loops",
    "loops_beside",
    "new_collapses",
    "smoothed_entropy",
]
