"""What attention heads compute on tokens that repeat."""
