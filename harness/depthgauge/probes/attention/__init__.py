"""Where heads look, against another checkpoint, and how much of what changed lies on pieces of formulae."""

from depthgauge.probes.attention.probe import HeadChange
from depthgauge.probes.attention.readings import change, changed_on_fragments, divergence_by_layer, mean_divergence
from depthgauge.probes.attention.settings import MarkedText

__all__ = [
    "HeadChange",
    "MarkedText",
    "change",
    "changed_on_fragments",
    "divergence_by_layer",
    "mean_divergence",
]
