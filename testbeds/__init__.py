"""Testbeds: a base model, what to train it on, and what to ask it. Importing this registers them."""

from testbeds import pocket

__all__ = ["pocket"]
