"""A difference looked at again and again while items are answered: intervals that hold together, however often.

The looks spend a sliver of the error, and the whole task keeps the rest, so that all of them together miss the truth as
seldom as one interval at 95 % does.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Estimate, Interval, Scores
from depthgauge.core.verdict import LEAST_P
from depthgauge.stats.clusters import clustered
from depthgauge.stats.differences import paired_difference
from depthgauge.stats.levels import LEVEL

# So little that what the looks refute stands among a hundred claims by Holm, and so much that it is found early.
SPENT_BY_LOOKS = 0.0005
CLOSE = 1e-6
MOST_STAKED = 0.9  # of the capital on one item, where all of it could be lost


def sequential_difference(looks: Iterable[tuple[Scores, Scores]], *, estimand: str) -> Iterator[Estimate]:
    """The mean difference of treatment and baseline, whose scores grow by a block of the same items from look to look.

    While items are right or wrong, stand for themselves, and one seed answers them, a look's interval is a confidence
    sequence by betting (Waudby-Smith and Ramdas 2024, JRSS B 86:1, section 4.2: hedged capital, predictable plug-in
    bets), which holds only for independent items: items in clusters have no looks. The last estimate is of all items,
    `paired_difference` at what the looks have left of the level.

    Raises: as `paired_difference`.
    """
    for first, second in looks:
        alone = len(first.values) == len(second.values) == 1 and not clustered(first)
        if alone and first.right is not None and first.right == second.right:
            yield looked_at(first, second, first.right, estimand)
    whole = paired_difference(first, second, estimand=estimand, level=LEVEL + SPENT_BY_LOOKS)
    yield replace(whole, interval_at=None if whole.interval_at is None else partial(beside_looks, whole.interval_at))


def beside_looks(interval: Interval, level: float) -> tuple[float, float]:
    """The whole task's interval so that it and the looks fail together as seldom as the level says."""
    return interval(min(level + SPENT_BY_LOOKS, 1 - LEAST_P))


def looked_at(treatment: Scores, baseline: Scores, size: float, estimand: str) -> Estimate:
    """The paired difference with the confidence sequence's interval; every score is 0 or `size`."""
    fixed = paired_difference(treatment, baseline, estimand=estimand)
    low, high = confidence_sequence((treatment.values[0] - baseline.values[0]) / (2 * size) + 0.5, SPENT_BY_LOOKS)
    return replace(
        fixed,
        low=min(size * (2 * low - 1), fixed.point),
        high=max(size * (2 * high - 1), fixed.point),
        level=1 - SPENT_BY_LOOKS,
        method="betting",
        where=f"settled by {fixed.n} {fixed.generalises_over}",
    )


def confidence_sequence(values: NDArray[np.float64], alpha: float) -> tuple[float, float]:
    """Bounds of the mean of values in [0, 1] after the last; over all n together they fail with a chance of `alpha`.

    A mean is excluded once a gambler who began with half of 1 on each side of it, and bets by what came before, has
    1 / alpha on one of them.
    """
    stakes = bets(values, alpha)
    return excluded_below(values, stakes, alpha), 1 - excluded_below(1 - values, stakes, alpha)


def bets(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """What is bet on each value, from those before it alone: more, the less they varied."""
    t = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (t + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.asarray(np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log(t + 1))))


def excluded_below(values: NDArray[np.float64], stakes: NDArray[np.float64], alpha: float) -> float:
    """The least mean that is not excluded by who bets that it is higher; the higher a mean, the less that one wins."""

    def excluded(mean: float) -> bool:
        staked = np.minimum(stakes, MOST_STAKED / mean) if mean else stakes
        return float(np.log1p(staked * (values - mean)).sum()) >= math.log(2 / alpha)

    low, high = 0.0, 1.0  # bisected, as scipy.optimize takes longer to import
    while excluded(low) and high - low > CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if excluded(middle) else (low, middle)
    return low
