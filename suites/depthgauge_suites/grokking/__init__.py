"""What a transformer computes when it has grokked modular addition, and the probe that reads it."""
