"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

MODEL_TYPE = "shower_flow"
