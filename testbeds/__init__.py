"""Testbeds: a base model, what to train it on, and what to ask it. Importing this registers them."""

from testbeds import modular_addition, pocket, repeated_tokens

__all__ = ["modular_addition", "pocket", "repeated_tokens"]
