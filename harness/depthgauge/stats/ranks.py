"""Ranks: tests over many columns at once, and whether a number rises with depth."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Profiles
from depthgauge.core.verdict import holm, student_quantile
from depthgauge.stats.differences import independent_share
from depthgauge.stats.levels import LEVEL, estimated, over_seeds

CLOSEST = 1 - 1e-9  # to 1, where Fisher's transform has no value
FEWEST = 5  # columns for which an interval of a rank correlation is given
FEWEST_WORTH = 8  # independent ones that they are worth: with fewer the autocorrelation itself is not known


def signed_rank_p(changes: Profiles) -> NDArray[np.float64]:
    """By column, the p-value of Wilcoxon's signed-rank test (1945) that units change up as often as down.

    Adjusted for the number of columns by Holm (1979). 1 where nothing changed. First seed. Shape (columns,).
    """
    from scipy import stats

    values_NC = changes.values[0]
    p_values = np.ones(values_NC.shape[1])
    moved = (values_NC != 0).any(axis=0)
    if moved.any():
        p_values[moved] = stats.wilcoxon(values_NC[:, moved], axis=0).pvalue
    return np.array(holm(p_values.tolist()))


def rank_correlation(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Spearman's correlation (1904) of a number by layer with the layer's own, and whether it rises with depth.

    A layer resembles the layer below: with one seed so many count as their autocorrelation leaves beside the trend
    (`differences.independent_share`), and the interval is Fisher's with the standard error of Bonett and Wright (2000).
    With several, Student's t over the seeds' correlations. The mean over units is taken first.

    Raises: StatisticUndefined below 5 layers, or so many independent ones, or where all have the same number.
    """
    from scipy import stats

    by_layer = profiles.values.mean(axis=1)
    n = by_layer.shape[1]
    if n < FEWEST or not (np.ptp(by_layer, axis=1) > 0).all():
        raise StatisticUndefined(
            f"{estimand}: a correlation with depth needs at least {FEWEST} layers that differ, got {n}."
        )
    correlations = np.array([stats.spearmanr(np.arange(n), row).statistic for row in by_layer])
    if len(correlations) > 1:
        return over_seeds(correlations, estimand=estimand, unit="correlation", level=level)
    worth = n * independent_share(stats.rankdata(by_layer[0]))
    if worth < min(n, FEWEST_WORTH):
        raise StatisticUndefined(
            f"{estimand}: {n} layers resemble their neighbours so much that they are worth {worth:.1f} independent "
            f"ones, and it takes {FEWEST_WORTH}: ask with several seeds.",
            code="dependent",
        )
    return estimated(
        partial(fisher_ends, float(correlations[0]), worth),
        estimand=estimand,
        unit="correlation",
        point=float(correlations[0]),
        level=level,
        n=n,
        method="Fisher z",
        generalises_over="layers",
    )


def fisher_ends(r: float, n: float, level: float) -> tuple[float, float]:
    half = student_quantile(level, n - 1) * math.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(max(-CLOSEST, min(CLOSEST, r))) + side * half) for side in (-1, 1))
    return min(low, r), max(high, r)


def chance_below(
    lower: Sequence[NDArray[np.float64]],
    higher: Sequence[NDArray[np.float64]],
    *,
    estimand: str,
    generalises_over: Population,
    level: float = LEVEL,
) -> Estimate:
    """How likely one of the first lies below one of the second, ties half: Mann and Whitney's U (1947) over all pairs.

    One seed: the interval of Newcombe (2006, Statistics in Medicine 25, 559-573, method 5), which holds for a few of
    each that are independent. Several: Student's t over seeds. Each sequence holds one array a seed.

    Raises: StatisticUndefined where there is none of either.
    """
    if not all(len(values) for values in (*lower, *higher)):
        raise StatisticUndefined(
            f"{estimand}: there is nothing to compare where there is none of either.", code="empty"
        )
    chances = [float((np.sign(np.subtract.outer(b, a)).mean() + 1) / 2) for a, b in zip(lower, higher, strict=True)]
    if len(chances) > 1:
        return over_seeds(np.array(chances), estimand=estimand, unit="chance", level=level)
    return estimated(
        partial(newcombe, chances[0], len(lower[0]), len(higher[0])),
        estimand=estimand,
        unit="chance",
        point=chances[0],
        level=level,
        n=len(lower[0]) + len(higher[0]),
        method="Newcombe",
        generalises_over=generalises_over,
    )


def newcombe(chance: float, m: int, n: int, level: float) -> tuple[float, float]:
    """The chances that differ from the one found by no more than their own standard errors allow."""
    from scipy.optimize import brentq

    z = NormalDist().inv_cdf(0.5 + level / 2)

    def beyond(theta: float) -> float:
        of_pairs = ((m + n) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - chance) ** 2 - z**2 * theta * (1 - theta) * (1 + of_pairs) / (m * n)

    inside = min(max(chance, 1 - CLOSEST), CLOSEST)  # at 0 and 1 themselves no chance has an error
    low = brentq(beyond, 0, inside) if chance > 0 else 0.0
    high = brentq(beyond, inside, 1) if chance < 1 else 1.0
    return float(low), float(high)


class Ranks(NamedTuple):
    """Mean ranks of columns over blocks, 1 the largest; Friedman's p; how far apart two must be to differ."""

    mean_ranks: tuple[float, ...]
    p: float
    critical_difference: float


def friedman(values_BC: NDArray[np.float64], *, level: float = LEVEL) -> Ranks:
    """Friedman's test (1937) that columns do not differ within blocks, such as layers within seeds.

    The critical difference is Nemenyi's (1963) as in Demsar (2006, section 3.2.2): for all pairs of columns together.
    Where every block has ties alone, p is 1.

    Raises: StatisticUndefined below two blocks or three columns, or for what is not finite.
    """
    from scipy import stats

    blocks, columns = values_BC.shape
    if blocks < 2 or columns < 3 or not np.isfinite(values_BC).all():
        raise StatisticUndefined(f"ranks need at least 2 blocks of 3 columns, all finite, got {blocks} of {columns}.")
    ranks = stats.rankdata(-values_BC, axis=1)
    p = float(stats.friedmanchisquare(*values_BC.T).pvalue) if (np.ptp(values_BC, axis=1) > 0).any() else 1.0
    quantile = float(stats.studentized_range.ppf(level, columns, np.inf)) / 2**0.5
    critical_difference = quantile * math.sqrt(columns * (columns + 1) / (6 * blocks))
    return Ranks(tuple(ranks.mean(axis=0).tolist()), p, critical_difference)
