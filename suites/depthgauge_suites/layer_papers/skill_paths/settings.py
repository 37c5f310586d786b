"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

SEQUENCES, LENGTH = 24, 12  # and tokens that are said twice
PROMPTS, EXAMPLES, LABELS = 24, 16, (" A", " B")  # of labelled words; the latter of one token, the last
SHARE, LONGEST, MOST = 0.02, 3, 30  # of the logit difference, for a path to be followed; heads on it; paths
