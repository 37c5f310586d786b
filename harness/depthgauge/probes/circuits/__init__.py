"""Circuits: what attention heads compute on tokens that repeat, read from their attention and from their weights."""

from depthgauge.probes.circuits.probe import Circuits, HeadScores
from depthgauge.probes.circuits.readings import (
    best_of,
    composition_with_previous,
    copying_changed,
    head_scores,
    induction_copying,
    induction_left,
    learning_in_context,
    learning_lost,
    previous_below_induction,
    score_beside,
    scores_alone,
    taken,
)
from depthgauge.probes.circuits.settings import ABLATED_SHARE, SEQUENCES

__all__ = [
    "ABLATED_SHARE",
    "SEQUENCES",
    "Circuits",
    "HeadScores",
    "best_of",
    "composition_with_previous",
    "copying_changed",
    "head_scores",
    "induction_copying",
    "induction_left",
    "learning_in_context",
    "learning_lost",
    "previous_below_induction",
    "score_beside",
    "scores_alone",
    "taken",
]
