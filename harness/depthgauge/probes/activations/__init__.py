"""What changed inside a checkpoint, against another one: the residual stream after every block, on the same texts."""

from depthgauge.probes.activations.probe import ActivationDifference
from depthgauge.probes.activations.readings import cosine, relative

__all__ = [
    "ActivationDifference",
    "cosine",
    "relative",
]
