"""From an estimate to a verdict: an interval decides, never a point."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np

from depthgauge.core.claim import Claim, Region
from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate
from depthgauge.core.result import Outcome, Verdict

Function = TypeVar("Function", bound=Callable[..., Any])
POWER = 0.8
DETECTABLE_ERRORS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)  # standard errors of an effect so shown
LEAST_P, CLOSE = 1e-12, 1e-9  # the smallest that is told from 0, and how near in its logarithm one is found
MOST_TIMES_N = 100.0  # an effect this many times larger than the distance would need 10,000 times the units


def above(bound: float) -> Region:
    return Region(low=bound, open_low=True)


def below(bound: float) -> Region:
    return Region(high=bound, open_high=True)


def at_least(bound: float) -> Region:
    return Region(low=bound)


def at_most(bound: float) -> Region:
    return Region(high=bound)


def within(margin: float) -> Region:
    """Between -margin and +margin: equivalence, which a missing difference does not show."""
    return Region(low=-margin, high=margin)


def claim(declared: Claim) -> Callable[[Function], Function]:
    """Mark a test function as a claim: it returns an `Estimate`, and the interval is judged.

    The test takes the fixture `candidate`, once as the method under test and once as the claim's control.
    """

    def mark(function: Function) -> Function:
        function.__claim__ = declared  # type: ignore[attr-defined]
        return function

    return mark


def judge(declared: Claim, estimate: Estimate, *, population: str | None = None) -> Verdict:
    """SUPPORTED where the interval lies in the claimed region, REFUTED where it lies outside, else INCONCLUSIVE.

    `population` is what the claim speaks about, where that is fixed: 'seeds' for a claim about a method, not about one
    checkpoint.

    Raises: StatisticUndefined if the estimate has another unit, is not finite, or generalises over something else.
    """
    if estimate.unit != declared.unit:
        raise StatisticUndefined(
            f"claim {declared.id!r} is in {declared.unit!r} but its estimate is in {estimate.unit!r}."
        )
    if population is not None and estimate.generalises_over != population:
        raise StatisticUndefined(
            f"claim {declared.id!r} speaks about {population}, but its interval generalises over "
            f"{estimate.generalises_over}; give an estimate over {population}."
        )
    if not all(map(math.isfinite, (estimate.point, estimate.low, estimate.high))):
        raise StatisticUndefined(f"the estimate of claim {declared.id!r} is not finite: {estimate}.", code="not-finite")
    measured = describe(estimate)
    if declared.region.contains(estimate.low, estimate.high):
        outcome, reason = Outcome.SUPPORTED, f"{measured} lies in {declared.region}"
    elif declared.region.disjoint(estimate.low, estimate.high):
        outcome, reason = Outcome.REFUTED, f"{measured} lies outside {declared.region}"
    else:
        outcome = Outcome.INCONCLUSIVE
        reason = f"{measured} straddles {declared.region}; {what_would_settle(estimate, declared.region)}"
    return Verdict(claim=declared, outcome=outcome, reason=reason, estimate=estimate)


def describe(estimate: Estimate) -> str:
    """'+3.2 [1.1, 5.3] points', with no more digits than the interval deserves, and where it is, if that was found."""
    place = f", {estimate.where}" if estimate.where else ""
    if estimate.exact:
        return f"{number(estimate.point)} {estimate.unit} exactly{place}"
    return f"{number(estimate.point)} [{number(estimate.low)}, {number(estimate.high)}] {estimate.unit}{place}"


def number(value: float) -> str:
    """Three significant digits, or as many as it takes not to round to a whole 0, 1 or 100 that it is not."""
    if value == 0:
        return "0"
    for digits in range(3, 17):
        text = f"{value:.{digits}g}" if abs(value) < 999.5 else f"{value:.0f}"
        if abs(float(text)) not in (0.0, 1.0, 100.0) or float(text) == value:
            return text
    return repr(value)


def smallest_detectable_effect(estimate: Estimate) -> float:
    """The effect that this n would show with 80 % power: (z_level + z_power) standard errors (Miller 2024, section 5).

    The standard error is taken from the interval's half-width, so it is approximate for asymmetric intervals.
    """
    z_level, z_power = NormalDist().inv_cdf(0.5 + estimate.level / 2), NormalDist().inv_cdf(POWER)
    return (estimate.high - estimate.low) / (2 * quantile(estimate)) * (z_level + z_power)


def p_value(estimate: Estimate, region: Region) -> float | None:
    """The chance of an estimate so far from the region's bound, were the truth there: below 0.05 where it decides.

    Two-sided, by inverting the interval: 1 minus the level at which the bound comes to lie outside it, so that p and
    interval agree at every level. What was looked at again and again is at its own level, or not. Between two bounds
    the nearer counts. None where the region has no bound, and of an exact reading, which no sample stands behind.
    """
    bounds = [bound for bound in (region.low, region.high) if math.isfinite(bound)]
    if not bounds or estimate.exact:
        return None
    return max(p_of_bound(estimate, bound) for bound in bounds)


def p_of_bound(estimate: Estimate, bound: float) -> float:
    """The least error at which the interval leaves out the bound, by bisection of its logarithm."""
    from scipy.special import ndtr

    if estimate.method == "betting":
        return 1.0 if estimate.low < bound < estimate.high else 1 - estimate.level
    if estimate.interval_at is None:  # by a normal, of an estimate that comes with one interval alone
        return float(2 * ndtr(-distance_in_halves(estimate, bound) * NormalDist().inv_cdf(0.5 + estimate.level / 2)))

    def outside(error: float) -> bool:
        assert estimate.interval_at is not None
        low, high = estimate.interval_at(1 - error)
        return not low < bound < high

    low, high = math.log(LEAST_P), 0.0
    if outside(LEAST_P):
        return LEAST_P
    while high - low > CLOSE:
        middle = (low + high) / 2
        low, high = (low, middle) if outside(math.exp(middle)) else (middle, high)
    return math.exp(high)


def student_quantile(level: float, n: float) -> float:
    """How many standard errors the half-width of Student's interval for a mean of n values is."""
    from scipy.special import stdtrit  # a fifth of the time of scipy.stats

    return float(stdtrit(n - 1, 0.5 + level / 2))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values adjusted for being so many (Holm 1979), in their order."""
    order = np.argsort(ps, kind="stable")
    steps = np.asarray(ps)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]


def distance_in_halves(estimate: Estimate, bound: float) -> float:
    """How many half-widths of the interval lie between point and bound; infinitely many where the point is known."""
    half = estimate.point - estimate.low if bound < estimate.point else estimate.high - estimate.point
    return abs(estimate.point - bound) / half if half else math.inf


def quantile(estimate: Estimate) -> float:
    """How many standard errors the interval's half-width is: its own, of Student's t for a mean, else of the normal."""
    if estimate.critical_value is not None:
        return estimate.critical_value
    if estimate.method == "Student t":
        return student_quantile(estimate.level, estimate.n)
    return NormalDist().inv_cdf(0.5 + estimate.level / 2)


def what_would_settle(estimate: Estimate, region: Region) -> str:
    """How many units would put an interval of this spread on one side of the nearest bound."""
    effect, n = smallest_detectable_effect(estimate), n_that_settles(estimate, region.bounds)
    text = f"n = {estimate.n} {estimate.generalises_over} can show {number(effect)} {estimate.unit}"
    if n is None:
        return f"{text}, and no feasible n would settle a point so near the bound"
    return f"{text}, about {n} would settle it"


def n_that_settles(estimate: Estimate, bounds: tuple[float | None, float | None]) -> int | None:
    """About how many units would show the distance from the nearest bound with 80 % power; None where none feasible."""
    effect = smallest_detectable_effect(estimate)
    distance = min(abs(estimate.point - bound) for bound in bounds if bound is not None)
    if distance * MOST_TIMES_N < effect:
        return None
    return math.ceil(estimate.n * (effect / distance) ** 2)
