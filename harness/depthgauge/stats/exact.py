"""What is known exactly about one checkpoint: its weights. Over several seeds it varies, and has an interval."""

from dataclasses import replace
from functools import partial
from math import exp

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Estimate, Interval, Profiles
from depthgauge.stats.levels import LEVEL, OF_A_STEP, over_seeds


def exactly(
    per_seed: NDArray[np.float64], *, estimand: str, unit: str, level: float = LEVEL, counted: bool = False
) -> Estimate:
    """A number that one checkpoint has without error: an interval of no width. Several seeds: Student's t over them.

    What is `counted`, and whole numbers above 0, scatter over seeds by what rounding hides at least: three seeds that
    agree have a width. Seeds in which nothing moved at all, each exactly 0, have none.

    Raises: StatisticUndefined if it is not finite, or seeds agree to the last digit in what is no whole number.
    """
    if not np.isfinite(per_seed).all():
        raise StatisticUndefined(f"{estimand}: the value is {per_seed[~np.isfinite(per_seed)][0]}, which is no number.")
    value, several = float(per_seed[0]), len(per_seed) > 1
    if several and (counted or per_seed.any()):
        least = OF_A_STEP if bool((per_seed == np.round(per_seed)).all()) else 0.0
        return over_seeds(per_seed, estimand=estimand, unit=unit, level=level, least_sd=least)
    return Estimate(
        estimand=estimand, unit=unit, point=value, low=value, high=value, level=level, n=len(per_seed), method="exact",
        generalises_over="seeds" if several else "weights",
    )  # fmt: skip


def exact_factor(
    per_seed: NDArray[np.float64], *, estimand: str, unit: str = "ratio", level: float = LEVEL
) -> Estimate:
    """A number that one checkpoint has without error, and that varies by factors from seed to seed, as losses do.

    Several seeds: the geometric mean, and Student's t over the logarithms.

    Raises: StatisticUndefined if it is not above 0.
    """
    if not (per_seed > 0).all():
        raise StatisticUndefined(f"{estimand}: what varies by factors is above 0, got {np.min(per_seed)}.")
    logs = exactly(np.log(per_seed), estimand=estimand, unit=unit, level=level)
    at = None if logs.interval_at is None else partial(exponential_ends, logs.interval_at)
    return replace(logs, point=exp(logs.point), low=exp(logs.low), high=exp(logs.high), interval_at=at)


def exponential_ends(interval: Interval, level: float) -> tuple[float, float]:
    low, high = interval(level)
    with np.errstate(over="ignore"):
        return float(np.exp(low)), float(np.exp(high))


def lead_ratio(leaders: list[Profiles], others: list[Profiles], *, estimand: str) -> Estimate:
    """The least of the leaders' medians over layers, over the largest of the others': above 1 if all leaders lead.

    Raises: StatisticUndefined if the others did not move at all.
    """
    least = np.min([medians(profiles) for profiles in leaders], axis=0)
    largest = np.max([medians(profiles) for profiles in others], axis=0)
    if not largest.all():
        raise StatisticUndefined(
            f"{estimand}: what it is compared with did not move, so there is no ratio.", code="not-moved"
        )
    return exactly(least / largest, estimand=estimand, unit="ratio")


def peak_ratio(profiles: Profiles, *, estimand: str) -> Estimate:
    """The largest layer over the median layer. Raises: StatisticUndefined if half of the layers did not move."""
    middle = medians(profiles)
    if not middle.all():
        raise StatisticUndefined(
            f"{estimand}: half of the layers did not move, so there is no ratio to their median.", code="not-moved"
        )
    return exactly(by_seed(profiles).max(axis=1) / middle, estimand=estimand, unit="ratio")


def peaks_apart(profiles: Profiles, other: Profiles, *, estimand: str) -> Estimate:
    """How many layers lie between the peak of one and that of the other.

    Raises: InvalidComparison if they have different layers, or numbers of seeds that cannot be paired.
    """
    if profiles.columns != other.columns or len(other.values) not in (1, len(profiles.values)):
        raise InvalidComparison(
            f"{estimand}: the two sides do not have the same layers and seeds.", code="other-layers"
        )
    distance = np.abs(by_seed(profiles).argmax(axis=1) - by_seed(other).argmax(axis=1))
    return exactly(distance.astype(float), estimand=estimand, unit="layers", counted=True)


def peak_layer(profiles: Profiles) -> int:
    """The layer, 0-based, that moved most in the first seed; 0 where none moved."""
    return int(by_seed(profiles)[0].argmax())


def by_seed(profiles: Profiles) -> NDArray[np.float64]:
    """Shape (seeds, layers): weights are one unit."""
    return profiles.values[:, 0]


def medians(profiles: Profiles) -> NDArray[np.float64]:
    return np.asarray(np.median(by_seed(profiles), axis=1))
