"""Content-addressed folders: finished checkpoints, and measurements of them."""
