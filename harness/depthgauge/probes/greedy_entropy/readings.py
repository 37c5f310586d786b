"""What claims ask of `greedy_entropy`: readings, from a candidate's measurements to numbers by unit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthgauge.core.estimate import Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import below_for, loop, loop_length, smoothed
from depthgauge.probes.greedy_entropy.probe import GreedyEntropy, Opening


def entropy(candidate: CheckpointSet, summary: Callable[[NDArray[Any]], ArrayLike]) -> Scores:
    """`summary` of each opening's entropy trace: of the last axis, 80 values in nats."""
    return by_opening(candidate, "entropy_nats", summary, "nats")


def smoothed_entropy(candidate: CheckpointSet, summary: Callable[[NDArray[Any]], ArrayLike]) -> Scores:
    """`summary` of each opening's trace as a moving average over five steps: of the last axis, 76 values in nats."""
    return entropy(candidate, lambda rows: summary(smoothed(rows)))


def distance_by_step(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """Per opening, how far the two smoothed traces lie apart at a step, in nats: the mean over all steps.

    Two traces of equal means are superimposed only if they rise and fall at the same steps.
    """
    openings = candidate.inputs(Opening)
    traces, theirs = (
        np.stack(
            [smoothed(seed.arrays["entropy_nats"]) for seed in checkpoints.measure(GreedyEntropy(openings=openings))]
        )
        for checkpoints in (candidate, other)
    )
    values = np.abs(traces - theirs).mean(axis=-1)
    return Scores(ids=tuple(map(str, openings)), values=values, unit="nats", population="prompts")


def loop_lengths(candidate: CheckpointSet) -> Scores:
    """Per opening, the period in tokens of the loop that is said in the end, and 41 where 80 tokens show none."""
    return by_opening(candidate, "token_ids", lambda rows: [loop_length(row) for row in rows], "tokens")


def collapses(candidate: CheckpointSet) -> Scores:
    """Per opening, 1 if its entropy trace collapses, else 0."""
    return by_opening(candidate, "entropy_nats", lambda rows: below_for(rows).any(axis=-1), "share", 1.0)


def loops(candidate: CheckpointSet) -> Scores:
    """Per opening, 1 if what is said ends in a loop, else 0."""
    return by_opening(candidate, "token_ids", lambda rows: [loop(row) is not None for row in rows], "share", 1.0)


def diversity(candidate: CheckpointSet, n: int) -> Scores:
    """Per opening, the n-gram diversity of its 80 greedy tokens: a ratio from 0 to 1."""
    return by_opening(candidate, "token_ids", lambda rows: [ngram_diversity(row, n) for row in rows], "ratio")


def entropy_beside(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Scores, Scores]:
    """The mean entropy after each opening, here and in the baseline.

    Raises: InvalidComparison if they do not have the same tokens.
    """
    candidate.check_same_tokens(baseline)
    after, before = (entropy(checkpoints, lambda rows: rows.mean(axis=-1)) for checkpoints in (candidate, baseline))
    return after, before


def new_collapses(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per opening, 1 if its entropy trace collapses, and that of the baseline does not. Raises: as above."""
    candidate.check_same_tokens(baseline)
    after, before = collapses(candidate), collapses(baseline)
    return replace(after, values=np.maximum(after.values - before.values, 0))


def loops_beside(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Scores, Scores]:
    """`loops` here and in the baseline. Raises: as `entropy_beside`."""
    candidate.check_same_tokens(baseline)
    return loops(candidate), loops(baseline)


def by_opening(
    candidate: CheckpointSet,
    array: str,
    summary: Callable[[NDArray[Any]], ArrayLike],
    unit: str,
    right: float | None = None,
) -> Scores:
    openings = candidate.inputs(Opening)
    taken = candidate.measure(GreedyEntropy(openings=openings))
    values = np.stack([summary(measurement.arrays[array]) for measurement in taken]).astype(float)
    return Scores(ids=tuple(map(str, openings)), values=values, unit=unit, population="prompts", right=right)
