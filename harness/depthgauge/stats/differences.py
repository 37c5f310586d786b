"""Intervals for a difference between two candidates measured on the same units, or between two ends of a run."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Scores
from depthgauge.core.verdict import student_quantile
from depthgauge.stats.clusters import check_independent, clustered, effective_size
from depthgauge.stats.levels import LEVEL, check, estimated, least_sd_of, over_seeds, student_interval

DECIMALS = 9  # a third of a point minus a third of a point is nothing, not 1e-14
FEWEST_STEPS = 3  # independent ones in a quarter of a log
LOST_TO_TREND = 4  # places of a series that its mean, its trend and the bias of a correlation take
MOST_ALIKE = 0.999


def paired_difference(treatment: Scores, baseline: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean difference, treatment minus baseline, unit by unit (Miller 2024, arXiv:2411.00640, section 4).

    With one seed the interval is over units, or the clusters that they come in: Bonett-Price where every score is right
    or wrong, Student's t otherwise. With several seeds it is over these: Student's t against a baseline of one seed,
    which stands for itself alone, and Welch's t between two trainings of several seeds each, which nothing pairs.

    Raises: InvalidComparison if the units, their clusters or their unit of measure differ; StatisticUndefined below
    two pairs.
    """
    if (treatment.ids, treatment.clusters) != (baseline.ids, baseline.clusters):
        raise InvalidComparison(
            f"{estimand}: the two sides were not measured on the same {treatment.population}.", code="other-units"
        )
    if treatment.unit != baseline.unit:
        raise InvalidComparison(f"{estimand}: one side is in {treatment.unit}, the other in {baseline.unit}.")
    if len(treatment.values) > 1 and len(baseline.values) > 1:
        return between_seeds(treatment, baseline, estimand=estimand, level=level)
    differences = np.round(treatment.values - baseline.values, DECIMALS)
    if len(differences) > 1:
        several = treatment if len(treatment.values) > 1 else baseline
        return over_seeds(
            differences.mean(axis=1), estimand=estimand, unit=treatment.unit, level=level, least_sd=least_sd_of(several)
        )
    check(differences[0], estimand)
    if treatment.right is not None and treatment.right == baseline.right:
        return bonett_price(
            differences[0],
            size=treatment.right,
            estimand=estimand,
            unit=treatment.unit,
            generalises_over=treatment.population,
            level=level,
            clusters=treatment.clusters if clustered(treatment) else (),
        )
    return student_interval(
        differences[0], estimand=estimand, unit=treatment.unit, generalises_over=treatment.population, level=level,
        clusters=treatment.clusters,
    )  # fmt: skip


def between_seeds(treatment: Scores, baseline: Scores, *, estimand: str, level: float) -> Estimate:
    """Two trainings of several seeds each: Welch's t between the seeds' means, of which none scatters by less than its
    answers do by chance.
    """
    means = [side.values.mean(axis=1) for side in (treatment, baseline)]
    return welch(
        *means, estimand=estimand, unit=treatment.unit, generalises_over="seeds", level=level,
        least_sds=(least_sd_of(treatment), least_sd_of(baseline)),
    )  # fmt: skip


def bonett_price(
    differences: NDArray[np.float64],
    *,
    size: float,
    estimand: str,
    unit: str,
    generalises_over: Population,
    level: float = LEVEL,
    clusters: Sequence[str] = (),
) -> Estimate:
    """A difference of two paired proportions, from differences in {-size, 0, size} (Bonett and Price 2012, eq. 4).

    An adjusted Wald interval: one unit is added to each kind of discordant pair, and two to n. Units in clusters count
    as many as they are worth (`effective_size`).
    """
    n = len(differences)
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return estimated(
        partial(bonett_price_ends, differences, size, clusters), estimand=estimand, unit=unit,
        point=size * (gains - losses) / n, level=level, n=n, method="Bonett-Price", generalises_over=generalises_over,
        clusters=len(set(clusters)) or None,
    )  # fmt: skip


def bonett_price_ends(
    differences: NDArray[np.float64], size: float, clusters: Sequence[str], level: float
) -> tuple[float, float]:
    """With every pair discordant one way, the adjusted interval can miss its own point: it is widened to hold it."""
    n = effective_size(differences, clusters, level)
    gains, losses = (float(part.mean()) * n for part in (differences > 0, differences < 0))
    up, down = (gains + 1) / (n + 2), (losses + 1) / (n + 2)
    centre, point = up - down, (gains - losses) / n
    half = NormalDist().inv_cdf(0.5 + level / 2) * ((up + down - centre**2) / (n + 2)) ** 0.5
    return size * max(-1.0, min(centre - half, point)), size * min(1.0, max(centre + half, point))


def rise(series: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean of the last quarter of a run's steps minus that of the first.

    A step resembles the one before it: a quarter counts as many independent steps as its autocorrelation leaves
    (`independent_share`), and the interval is Student's t of so many. Several seeds: t over the seeds' rises.

    Raises: StatisticUndefined below 8 steps, where both quarters are constant, or where a quarter is worth fewer than
    3 independent steps.
    """
    quarter = series.values.shape[1] // 4
    if quarter < 2:
        raise StatisticUndefined(f"{estimand}: a rise needs at least 8 steps, got {series.values.shape[1]}.")
    first, last = series.values[:, :quarter], series.values[:, -quarter:]
    rises = last.mean(axis=1) - first.mean(axis=1)
    if len(series.values) > 1:
        return over_seeds(rises, estimand=estimand, unit=series.unit, level=level)
    check(series.values[0], estimand)
    if np.ptp(first) == 0 and np.ptp(last) == 0:
        raise StatisticUndefined(f"{estimand}: both sides are constant.")
    worth = quarter * independent_share(series.values[0])
    if worth < FEWEST_STEPS:
        raise StatisticUndefined(
            f"{estimand}: {quarter} steps of a quarter resemble each other so much that they are worth {worth:.1f} "
            f"independent ones, and it takes {FEWEST_STEPS}: log more steps, or ask with several seeds.",
            code="dependent",
        )
    variance = (first.var() + last.var()) * worth / (worth - 1) / worth
    return estimated(
        partial(t_ends, float(rises[0]), float(variance) ** 0.5, 2 * worth - 2), estimand=estimand, unit=series.unit,
        point=float(rises[0]), level=level, n=2 * quarter, method="t of effective steps",
        generalises_over=series.population,
    )  # fmt: skip


def independent_share(series: NDArray[np.float64]) -> float:
    """What share of a series' values (N,) is worth an independent one, by its autocorrelation at lag 1.

    The autocorrelation is that of a first-order autoregression fitted to the series without its trend, corrected for
    its bias (Kendall 1954), and a standard error more (Bartlett 1946): a series that is too short to show how much its
    values resemble each other would else look independent by chance, and have too narrow an interval. 1 where there
    is no autocorrelation: what alternates is taken as independent.
    """
    n = len(series)
    places = np.arange(n) - (n - 1) / 2
    rest = series - series.mean()
    rest = rest - (rest @ places) / (places @ places) * places
    if n <= LOST_TO_TREND or not rest.any():
        return 1.0
    correlation = (n * float(rest[1:] @ rest[:-1] / (rest @ rest)) + 2) / (n - LOST_TO_TREND)
    correlation += math.sqrt(max(1 - correlation**2, 0.0) / n)
    correlation = min(max(correlation, 0.0), MOST_ALIKE)
    return (1 - correlation) / (1 + correlation)


def independent_difference(first: Scores, second: Scores, *, estimand: str, level: float = LEVEL) -> Estimate:
    """Mean of one set of units minus that of another, with Welch's t interval (Welch 1947).

    It holds only for units that are independent of each other.

    Raises: InvalidComparison if the units of measure differ; StatisticUndefined for several seeds, units in clusters,
    below two units, or where all are constant.
    """
    if max(len(first.values), len(second.values)) > 1:
        raise StatisticUndefined(
            f"{estimand}: it compares {first.population}, which do not vary with the seed; ask with one seed."
        )
    if first.unit != second.unit:
        raise InvalidComparison(f"{estimand}: one side is in {first.unit}, the other in {second.unit}.")
    for side in (first, second):
        check(side.values[0], estimand)
        check_independent(side, estimand)
    return welch(
        first.values[0],
        second.values[0],
        estimand=estimand,
        unit=first.unit,
        generalises_over=first.population,
        level=level,
    )


def welch(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    estimand: str,
    unit: str,
    generalises_over: Population,
    level: float,
    least_sds: tuple[float, float] = (0.0, 0.0),
) -> Estimate:
    """By the degrees of freedom of Satterthwaite (1946); neither side scatters by less than its `least_sds`."""
    for side in (first, second):
        check(side, estimand)
    variances = [max(float(side.var(ddof=1)), least**2) for side, least in zip((first, second), least_sds, strict=True)]
    errors = [variance / len(side) for variance, side in zip(variances, (first, second), strict=True)]
    if not sum(errors):
        raise StatisticUndefined(f"{estimand}: both sides are constant.")
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(side) - 1) for error, side in zip(errors, (first, second), strict=True)
    )
    point = float(first.mean() - second.mean())
    return estimated(
        partial(t_ends, point, sum(errors) ** 0.5, freedom), estimand=estimand, unit=unit, point=point, level=level,
        n=len(first) + len(second), method="Welch t", generalises_over=generalises_over,
    )  # fmt: skip


def t_ends(point: float, error: float, freedom: float, level: float) -> tuple[float, float]:
    half = student_quantile(level, freedom + 1) * error
    return point - half, point + half
