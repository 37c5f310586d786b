"""GRPO with a second gradient evaluation at shifted weights, on TRL."""
