"""Intervals for one level: a mean or a share."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Scores
from depthgauge.core.verdict import student_quantile

LEVEL = 0.95


def student_interval(
    values: NDArray[np.float64], *, estimand: str, unit: str, generalises_over: Population, level: float = LEVEL
) -> Estimate:
    """The mean of independent values with Student's t interval (Student 1908).

    Raises: StatisticUndefined below two values, where any is not finite, or where all are equal (the interval has no
    width).
    """
    check(values, estimand)
    if np.ptp(values) == 0:
        raise StatisticUndefined(
            f"{estimand}: all {len(values)} values equal {values[0]:g}, so its interval has no width."
        )
    point = math.fsum(values) / len(values)
    half = student_quantile(level, len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return Estimate(
        estimand=estimand,
        unit=unit,
        point=point,
        low=point - half,
        high=point + half,
        level=level,
        n=len(values),
        method="Student t",
        generalises_over=generalises_over,
    )


def check(values: NDArray[np.float64], estimand: str) -> None:
    if len(values) < 2:
        raise StatisticUndefined(f"{estimand}: an interval needs at least 2 values, got {len(values)}.")
    if not np.isfinite(values).all():
        raise StatisticUndefined(
            f"{estimand}: {int((~np.isfinite(values)).sum())} of {len(values)} values are not finite."
        )


def over_seeds(per_seed: NDArray[np.float64], *, estimand: str, unit: str, level: float) -> Estimate:
    """One number a training seed, seed by seed: what a claim about a method needs."""
    return student_interval(per_seed, estimand=estimand, unit=unit, generalises_over="seeds", level=level)


def mean(scores: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The mean score with Student's t interval, over units for one seed and over seeds for several."""
    if len(scores.values) > 1:
        return over_seeds(scores.values.mean(axis=1), estimand=estimand, unit=scores.unit, level=level)
    return student_interval(
        scores.values[0], estimand=estimand, unit=scores.unit, generalises_over=scores.population, level=level
    )


def share(scores: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The share of units that score 1, with the exact interval of Clopper and Pearson (1934) for one seed.

    Takes scores of 0 and 1; the unit of the estimate is 'share', from 0 to 1. Several seeds: t over seeds.

    Raises: StatisticUndefined if a score is neither 0 nor 1, or there is none.
    """
    from scipy.special import betaincinv

    if not np.isin(scores.values, (0.0, 1.0)).all() or not scores.ids:
        raise StatisticUndefined(f"{estimand}: a share needs scores of 0 and 1.")
    if len(scores.values) > 1:
        free = over_seeds(scores.values.mean(axis=1), estimand=estimand, unit="share", level=level)
        return replace(free, low=max(0.0, free.low), high=min(1.0, free.high))  # no share lies outside
    number, n = int(scores.values.sum()), len(scores.ids)
    tail = (1 - level) / 2
    return Estimate(
        estimand=estimand,
        unit="share",
        point=number / n,
        low=float(betaincinv(number, n - number + 1, tail)) if number else 0.0,
        high=float(betaincinv(number + 1, n - number, 1 - tail)) if number < n else 1.0,
        level=level,
        n=n,
        method="Clopper-Pearson",
        generalises_over=scores.population,
    )
