"""What was logged while a checkpoint was trained, step by step. No model is loaded."""

from depthgauge.probes.training.probe import LOG
from depthgauge.probes.training.readings import by_step, largest_jump, largest_jumps

__all__ = [
    "LOG",
    "by_step",
    "largest_jump",
    "largest_jumps",
]
