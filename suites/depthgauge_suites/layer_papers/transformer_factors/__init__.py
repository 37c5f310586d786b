"""Transformer factors (arXiv:2103.15949): hidden states of all layers as sums of few non-negative factors."""

from depthgauge_suites.layer_papers.transformer_factors.probe import concentrated, mean_layer
from depthgauge_suites.layer_papers.transformer_factors.readings import about_words_by_depth, concentration, taken
from depthgauge_suites.layer_papers.transformer_factors.settings import penalty_of

__all__ = [
    "about_words_by_depth",
    "concentrated",
    "concentration",
    "mean_layer",
    "penalty_of",
    "taken",
]
