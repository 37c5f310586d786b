"""Training methods. Importing this registers them; it imports no torch."""

from depthgauge_methods import ablations, controls, gift, grokking, grpo, induction, showers, unfreezing

__all__ = ["ablations", "controls", "gift", "grokking", "grpo", "induction", "showers", "unfreezing"]
