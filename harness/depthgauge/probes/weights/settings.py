"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

TOLERANCE = 1e-5
