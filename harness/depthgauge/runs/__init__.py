"""A comparison or a method run: which claims apply, and how their checkpoints are judged."""
