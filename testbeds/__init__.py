"""Testbeds: a base model, what to train it on, and what to ask it. Importing this registers them."""

from depthgauge.testbeds import common, modular_addition, pocket, repeated_tokens, science, smollm2

__all__ = ["common", "modular_addition", "pocket", "repeated_tokens", "science", "smollm2"]
