"""What claims ask of `greedy_trace`: readings, from a subject's measurements to numbers by unit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthgauge.core.estimate import Scores
from depthgauge.measure.subject import Subject
from depthgauge.probes.greedy_trace.diversity import ngram_diversity
from depthgauge.probes.greedy_trace.entropy import below_for, loop
from depthgauge.probes.greedy_trace.probe import GreedyTrace, Opening


def entropy(subject: Subject, summary: Callable[[NDArray[Any]], ArrayLike]) -> Scores:
    """`summary` of each opening's entropy trace: of the last axis, 80 values in nats."""
    return by_opening(subject, "entropy_nats", summary, "nats")


def collapses(subject: Subject) -> Scores:
    """Per opening, 1 if its entropy trace collapses, else 0."""
    return by_opening(subject, "entropy_nats", lambda rows: below_for(rows).any(axis=-1), "share", 1.0)


def loops(subject: Subject) -> Scores:
    """Per opening, 1 if what is said ends in a loop, else 0."""
    return by_opening(subject, "token_ids", lambda rows: [loop(row) is not None for row in rows], "share", 1.0)


def diversity(subject: Subject, n: int) -> Scores:
    """Per opening, the n-gram diversity of its 80 greedy tokens: a ratio from 0 to 1."""
    return by_opening(subject, "token_ids", lambda rows: [ngram_diversity(row, n) for row in rows], "ratio")


def entropy_beside(subject: Subject, old: Subject) -> tuple[Scores, Scores]:
    """The mean entropy after each opening, here and in the old checkpoint.

    Raises: InvalidComparison if they do not have the same tokens.
    """
    subject.check_same_tokens(old)
    mine, its = (entropy(one, lambda rows: rows.mean(axis=-1)) for one in (subject, old))
    return mine, its


def new_collapses(subject: Subject, old: Subject) -> Scores:
    """Per opening, 1 if its entropy trace collapses, and that of the old checkpoint does not. Raises: as above."""
    subject.check_same_tokens(old)
    mine, its = collapses(subject), collapses(old)
    return replace(mine, values=np.maximum(mine.values - its.values, 0))


def loops_beside(subject: Subject, old: Subject) -> tuple[Scores, Scores]:
    """`loops` here and in the old checkpoint. Raises: as `entropy_beside`."""
    subject.check_same_tokens(old)
    return loops(subject), loops(old)


def by_opening(
    subject: Subject,
    array: str,
    summary: Callable[[NDArray[Any]], ArrayLike],
    unit: str,
    right: float | None = None,
) -> Scores:
    openings = subject.material(Opening)
    taken = subject.measure(GreedyTrace(openings=openings))
    values = np.stack([summary(one.arrays[array]) for one in taken]).astype(float)
    return Scores(ids=tuple(map(str, openings)), values=values, unit=unit, population="prompts", right=right)
