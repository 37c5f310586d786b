"""How tensors are stored."""
