"""From what a user names to a checkpoint, and its fingerprint."""
