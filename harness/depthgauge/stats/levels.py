"""Intervals for one level: a mean or a share."""

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Interval, Population, Scores
from depthgauge.core.verdict import student_quantile
from depthgauge.stats.clusters import clustered, effective_size, pseudovalues

LEVEL = 0.95
RESAMPLES = 2000
FEWEST_RESAMPLED, MOST_RESAMPLED = 8, 500  # units: fewer repeat themselves, and the mean of more is normal
ROUNDING = 1e-9  # of a variance: less is what float64 leaves of a difference of equal squares
OF_A_STEP = 1 / math.sqrt(12)  # the standard deviation that rounding to whole numbers hides


def estimated(interval: Interval, *, point: float, level: float, **fields: Any) -> Estimate:
    """An estimate with its interval at a level, which keeps the intervals at all others for its p."""
    low, high = interval(level)
    return Estimate(point=point, low=low, high=high, level=level, interval_at=interval, **fields)


def student_interval(
    values: NDArray[np.float64],
    *,
    estimand: str,
    unit: str,
    generalises_over: Population,
    level: float = LEVEL,
    clusters: Sequence[str] = (),
) -> Estimate:
    """The mean of values (N,), of independent units or of units in clusters, with Student's t interval (1908).

    Of clusters by the jackknife over them. From 8 units or clusters on each side is as wide as the bootstrapped t is
    there, where that is wider (Efron 1979, Hall 1988), so that skewed values keep their level.

    Raises: StatisticUndefined below two values or clusters, where any is not finite, or where all are equal (the
    interval has no width).
    """
    check(values, estimand)
    if np.ptp(values) == 0:
        raise StatisticUndefined(
            f"{estimand}: all {len(values)} values equal {values[0]:g}, so its interval has no width."
        )
    point = math.fsum(values) / len(values)
    counted = np.sort(pseudovalues(values[:, None], clusters)[:, 0])  # in an order that hangs on no unit's place
    error, groups = float(counted.std(ddof=1)) / len(counted) ** 0.5, len(set(clusters))
    if error == 0:
        raise StatisticUndefined(f"{estimand}: all {groups} clusters have one mean, so its interval has no width.")
    interval = partial(student_ends, point, error, len(counted), studentised(counted))
    return estimated(
        interval, estimand=estimand, unit=unit, point=point, level=level, n=len(values), method="Student t",
        generalises_over=generalises_over, critical_value=(interval(level)[1] - interval(level)[0]) / (2 * error),
        clusters=groups if 0 < groups < len(values) else None,
    )  # fmt: skip


def student_ends(
    point: float, error: float, n: int, sizes: NDArray[np.float64] | None, level: float
) -> tuple[float, float]:
    """Student's interval of n values, each side as wide as that of the bootstrapped t (resamples,) if that is wider."""
    below = above = student_quantile(level, n)
    if sizes is not None:
        rank = min(math.ceil((1 + level) / 2 * (len(sizes) + 1)), len(sizes))
        below, above = max(below, float(sizes[rank - 1])), max(above, -float(sizes[-rank]))
    return point - below * error, point + above * error


def studentised(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The t of resamples of the values, sorted; None of so few that resamples repeat themselves, and of so many that a
    mean is normal.

    Resamples in which nothing varies have none.
    """
    n = len(values)
    if not FEWEST_RESAMPLED <= n <= MOST_RESAMPLED:
        return None
    drawn, moved = resamples(n), values - values.mean()
    means = drawn @ moved / n
    variances = (drawn @ moved**2 / n - means**2) / (n - 1)
    some = variances > ROUNDING * moved.var() / n
    return np.sort(means[some] / np.sqrt(variances[some])) if some.any() else None


@lru_cache(maxsize=4)
def resamples(n: int) -> NDArray[np.float64]:
    """How often each of n units is drawn, in each resample: the same for all statistics of as many units.

    The second half is the first backwards, so that values sorted by size and their negatives have one interval.
    """
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES // 2).astype(np.float64)
    drawn = np.concatenate([drawn, drawn[:, ::-1]])
    drawn.flags.writeable = False
    return drawn


def check(values: NDArray[np.float64], estimand: str) -> None:
    if len(values) < 2:
        raise StatisticUndefined(f"{estimand}: an interval needs at least 2 values, got {len(values)}.")
    if not np.isfinite(values).all():
        raise StatisticUndefined(
            f"{estimand}: {int((~np.isfinite(values)).sum())} of {len(values)} values are not finite.",
            code="not-finite",
        )


def over_seeds(
    per_seed: NDArray[np.float64],
    *,
    estimand: str,
    unit: str,
    level: float = LEVEL,
    least_sd: float = 0.0,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """One number a training seed (S,), seed by seed, with Student's t interval: what a claim about a method needs.

    It holds for seeds that scatter as a normal does. `least_sd` is what they scatter by at least, as what is counted
    does: three seeds that agree then have a width. No value lies outside the `limits`.

    Raises: StatisticUndefined below two seeds, or where all are equal and nothing is known of their scatter.
    """
    check(per_seed, estimand)
    sd = max(float(per_seed.std(ddof=1)), least_sd)
    if sd == 0 or (np.ptp(per_seed) == 0 and least_sd == 0):
        raise StatisticUndefined(
            f"{estimand}: all {len(per_seed)} values equal {per_seed[0]:g}, so its interval has no width."
        )
    point = math.fsum(per_seed) / len(per_seed)
    interval = partial(seed_ends, point, sd / len(per_seed) ** 0.5, len(per_seed), limits)
    return estimated(
        interval, estimand=estimand, unit=unit, point=point, level=level, n=len(per_seed), method="Student t",
        generalises_over="seeds",
    )  # fmt: skip


def seed_ends(point: float, error: float, n: int, limits: tuple[float, float], level: float) -> tuple[float, float]:
    half = student_quantile(level, n) * error
    return min(point, max(limits[0], point - half)), max(point, min(limits[1], point + half))


def mean(scores: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The mean score with Student's t interval, over units or their clusters for one seed and over seeds for several.

    Scores that are right or wrong: over seeds, they scatter by as much as so many answers do by chance, at least.
    """
    if len(scores.values) > 1:
        return over_seeds(
            scores.values.mean(axis=1), estimand=estimand, unit=scores.unit, level=level, least_sd=least_sd_of(scores)
        )
    return student_interval(
        scores.values[0], estimand=estimand, unit=scores.unit, generalises_over=scores.population, level=level,
        clusters=scores.clusters,
    )  # fmt: skip


def least_sd_of(scores: Scores) -> float:
    """By how much the mean of so many answers that are right or wrong scatters by chance; 0 of others.

    Their share as Agresti and Coull (1998) have it, so that no share is without scatter.
    """
    right = 1.0 if scores.right is None and np.isin(scores.values, (0.0, 1.0)).all() else scores.right
    if not right or not scores.ids:
        return 0.0
    share = (scores.values.sum() / right + 2) / (scores.values.size + 4)
    return float(right * math.sqrt(share * (1 - share) / len(scores.ids)))


def share(scores: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The share of units that score 1, with the exact interval of Clopper and Pearson (1934) for one seed.

    Takes scores of 0 and 1; the unit of the estimate is 'share', from 0 to 1. Units in clusters count as many as they
    are worth (Korn and Graubard 1998). Several seeds: t over seeds.

    Raises: StatisticUndefined if a score is neither 0 nor 1, or there is none.
    """
    if not np.isin(scores.values, (0.0, 1.0)).all() or not scores.ids:
        raise StatisticUndefined(f"{estimand}: a share needs scores of 0 and 1.")
    if len(scores.values) > 1:
        return over_seeds(
            scores.values.mean(axis=1), estimand=estimand, unit="share", level=level, least_sd=least_sd_of(scores),
            limits=(0.0, 1.0),
        )  # fmt: skip
    values, clusters = scores.values[0], scores.clusters if clustered(scores) else ()
    return estimated(
        partial(share_ends, values, clusters),
        estimand=estimand,
        unit="share",
        point=int(values.sum()) / len(values),
        level=level,
        n=len(values),
        method="Clopper-Pearson",
        generalises_over=scores.population,
        clusters=len(set(clusters)) or None,
    )


def share_ends(values: NDArray[np.float64], clusters: Sequence[str], level: float) -> tuple[float, float]:
    """Clopper's and Pearson's interval of 0s and 1s (N,), of as many units as the clusters leave."""
    from scipy.special import betaincinv

    size, tail, portion = effective_size(values, clusters, level), (1 - level) / 2, float(values.mean())
    number = portion * size
    low = float(betaincinv(number, size - number + 1, tail)) if portion > 0 else 0.0
    high = float(betaincinv(number + 1, size - number, 1 - tail)) if portion < 1 else 1.0
    return min(low, portion), max(high, portion)
