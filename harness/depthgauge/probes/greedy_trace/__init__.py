"""The greedy trace: what a model says when it always takes the likeliest token, how sure it is, how it repeats
itself.
"""

from depthgauge.probes.greedy_trace.probe import GreedyTrace, Opening
from depthgauge.probes.greedy_trace.readings import (
    collapses,
    diversity,
    entropy,
    entropy_beside,
    loops_beside,
    new_collapses,
)

__all__ = [
    "GreedyTrace",
    "Opening",
    "collapses",
    "diversity",
    "entropy",
    "entropy_beside",
    "loops_beside",
    "new_collapses",
]
