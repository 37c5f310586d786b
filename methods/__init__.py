"""Training methods. Importing this registers them; it imports no torch."""

from methods import controls, grpo

__all__ = ["controls", "grpo"]
