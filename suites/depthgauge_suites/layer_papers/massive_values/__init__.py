"""Massive values (arXiv:2502.01563): the few numbers of queries and keys that dwarf all others, and what they serve."""

from depthgauge_suites.layer_papers.massive_values.probe import (
    MassiveValues,
    Recall,
    before_rotation,
    shared_beyond_chance,
    slowness_of,
)
from depthgauge_suites.layer_papers.massive_values.readings import (
    Side,
    lost_beyond_random,
    share_beyond_values,
    shared_dimensions,
    slowness,
)
from depthgauge_suites.layer_papers.massive_values.settings import FACTOR, is_massive

__all__ = [
    "FACTOR",
    "MassiveValues",
    "Recall",
    "Side",
    "before_rotation",
    "is_massive",
    "lost_beyond_random",
    "share_beyond_values",
    "shared_beyond_chance",
    "shared_dimensions",
    "slowness",
    "slowness_of",
]
