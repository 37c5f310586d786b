"""Training methods. Importing this registers them; it imports no torch."""

from depthgauge_methods import controls, gift, grokking, grpo, induction, showers, unfreezing

__all__ = ["controls", "gift", "grokking", "grpo", "induction", "showers", "unfreezing"]
