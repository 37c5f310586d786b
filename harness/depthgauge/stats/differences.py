"""Intervals for a difference between two candidates measured on the same units, or between two ends of a run."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Scores
from depthgauge.stats.levels import LEVEL, check, over_seeds, student_interval

DECIMALS = 9  # a third of a point minus a third of a point is nothing, not 1e-14


def paired_difference(treatment: Scores, baseline: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean difference, treatment minus baseline, unit by unit (Miller 2024, arXiv:2411.00640, section 4).

    With one seed the interval is over units: Bonett-Price where every score is right or wrong, Student's t otherwise.
    With several seeds it is Student's t over the seeds' mean differences; a baseline with one seed is compared with
    each.

    Raises: InvalidComparison if the units or their unit of measure differ; StatisticUndefined below two pairs.
    """
    if treatment.ids != baseline.ids:
        raise InvalidComparison(f"{estimand}: the two sides were not measured on the same {treatment.population}.")
    if treatment.unit != baseline.unit:
        raise InvalidComparison(f"{estimand}: one side is in {treatment.unit}, the other in {baseline.unit}.")
    if len(treatment.values) != len(baseline.values) and 1 not in (len(treatment.values), len(baseline.values)):
        raise InvalidComparison(
            f"{estimand}: {len(treatment.values)} seeds cannot be paired with {len(baseline.values)}."
        )
    differences = np.round(treatment.values - baseline.values, DECIMALS)
    if len(differences) > 1:
        return over_seeds(differences.mean(axis=1), estimand=estimand, unit=treatment.unit, level=level)
    check(differences[0], estimand)
    if treatment.right is not None and treatment.right == baseline.right:
        return bonett_price(
            differences[0],
            size=treatment.right,
            estimand=estimand,
            unit=treatment.unit,
            generalises_over=treatment.population,
            level=level,
        )
    return student_interval(
        differences[0], estimand=estimand, unit=treatment.unit, generalises_over=treatment.population, level=level
    )


def bonett_price(
    differences: NDArray[np.float64],
    *,
    size: float,
    estimand: str,
    unit: str,
    generalises_over: Population,
    level: float = LEVEL,
) -> Estimate:
    """A difference of two paired proportions, from differences in {-size, 0, size} (Bonett and Price 2012, eq. 4).

    An adjusted Wald interval: one unit is added to each kind of discordant pair, and two to n.
    """
    n = len(differences)
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    up, down = (gains + 1) / (n + 2), (losses + 1) / (n + 2)
    centre = up - down
    half_width = NormalDist().inv_cdf(0.5 + level / 2) * ((up + down - centre**2) / (n + 2)) ** 0.5
    point = (gains - losses) / n
    return Estimate(
        estimand=estimand,
        unit=unit,
        point=size * point,
        # With every pair discordant one way, the adjusted interval can miss its own point: it is widened to hold it.
        low=size * max(-1.0, min(centre - half_width, point)),
        high=size * min(1.0, max(centre + half_width, point)),
        level=level,
        n=n,
        method="Bonett-Price",
        generalises_over=generalises_over,
    )


def rise(series: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean of the last quarter of a run's steps minus that of the first, with Welch's t interval (Welch 1947).

    Steps within a quarter are taken as independent draws around its mean: each has fresh prompts. Several seeds: t over
    the seeds' rises.

    Raises: StatisticUndefined below 8 steps or where both quarters are constant.
    """
    quarter = series.values.shape[1] // 4
    if quarter < 2:
        raise StatisticUndefined(f"{estimand}: a rise needs at least 8 steps, got {series.values.shape[1]}.")
    first, last = series.values[:, :quarter], series.values[:, -quarter:]
    if len(series.values) > 1:
        rises = last.mean(axis=1) - first.mean(axis=1)
        return over_seeds(rises, estimand=estimand, unit=series.unit, level=level)
    check(series.values[0], estimand)
    return welch(
        last[0], first[0], estimand=estimand, unit=series.unit, generalises_over=series.population, level=level
    )


def independent_difference(one: Scores, other: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean of one set of units minus that of another, with Welch's t interval (Welch 1947).

    Raises: InvalidComparison if the units of measure differ; StatisticUndefined for several seeds, below two units, or
    where all are constant.
    """
    if max(len(one.values), len(other.values)) > 1:
        raise StatisticUndefined(
            f"{estimand}: it compares {one.population}, which do not vary with the seed; ask with one seed."
        )
    if one.unit != other.unit:
        raise InvalidComparison(f"{estimand}: one side is in {one.unit}, the other in {other.unit}.")
    for side in (one, other):
        check(side.values[0], estimand)
    return welch(
        one.values[0], other.values[0], estimand=estimand, unit=one.unit, generalises_over=one.population, level=level
    )


def welch(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    *,
    estimand: str,
    unit: str,
    generalises_over: Population,
    level: float,
) -> Estimate:
    from scipy import stats

    if np.ptp(one) == 0 and np.ptp(other) == 0:
        raise StatisticUndefined(f"{estimand}: both sides are constant.")
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
    return Estimate(
        estimand=estimand,
        unit=unit,
        point=float(one.mean() - other.mean()),
        low=float(interval.low),
        high=float(interval.high),
        level=level,
        n=len(one) + len(other),
        method="Welch t",
        generalises_over=generalises_over,
    )
