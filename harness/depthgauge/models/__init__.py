"""The only package that opens transformers: reads the files of a checkpoint, loads it, and steps inside."""
