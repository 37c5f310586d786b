"""Training methods. Importing this registers them; it imports no torch."""

from depthgauge.methods import controls, grokking, grpo, induction

__all__ = ["controls", "grokking", "grpo", "induction"]
