"""Testbeds: a base model, what to train it on, and what to ask it. Importing this registers them."""

from depthgauge_testbeds import listops, modular_addition, pocket, repeated_tokens, science, showers, smollm2

__all__ = ["listops", "modular_addition", "pocket", "repeated_tokens", "science", "showers", "smollm2"]
