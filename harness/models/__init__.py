"""The only door to transformers: checks a checkpoint folder, names it by its content, loads it, and steps inside."""
