"""What a one-layer transformer computes modular addition with (Nanda et al. 2023, arXiv:2301.05217)."""

from depthgauge_suites.grokking.fourier.probe import phases
from depthgauge_suites.grokking.fourier.readings import (
    embedding_in_few_frequencies,
    excluded_over_guessing,
    final,
    formation_at_onset,
    formed_before_shown,
    key_count,
    least_head_share,
    neurons_at_keys,
    over_full,
    random_over_key,
    taken_apart,
    worst_over_full,
)

__all__ = [
    "embedding_in_few_frequencies",
    "excluded_over_guessing",
    "final",
    "formation_at_onset",
    "formed_before_shown",
    "key_count",
    "least_head_share",
    "neurons_at_keys",
    "over_full",
    "phases",
    "random_over_key",
    "taken_apart",
    "worst_over_full",
]
