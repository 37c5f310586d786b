"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

SEQUENCES, LENGTH = 50, 20  # random tokens that are said twice; fewer where a model knows or holds fewer
PERMUTATIONS = 199
ABLATED_SHARE = 0.5  # heads with an induction score of at least this share of the best one's are ablated together
