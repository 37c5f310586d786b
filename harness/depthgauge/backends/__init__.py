"""Who computes: a model that transformers loads whole, or one that is read layer by layer."""
