"""Shares that rise with a number of parts: how large the largest step is, and where it stands.

Shapes: S seeds, K numbers of parts, ascending.
"""

from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Population
from depthgauge.stats.levels import LEVEL, estimated, over_seeds

LIKELY = NormalDist().inv_cdf(0.5 + LEVEL / 2) ** 2 / 2  # log-likelihood that a place may lose to the best (Wilks 1938)
ROUNDS, STEEPEST = 50, 30.0
Counts = NDArray[np.int64]


class ChangePoint(NamedTuple):
    """From which number of parts a share is another one; `low` and `high` are the places as likely at 95 %.

    `over_smooth`: its log-likelihood less that of a logistic curve, which has as many parameters.
    """

    place: int
    low: int
    high: int
    over_smooth: float


def largest_step(
    successes: Counts, tried: Counts, *, estimand: str, generalises_over: Population, level: float = LEVEL
) -> Estimate:
    """The largest rise of a share from one number of parts to the next, from counts (S, K).

    Each step has the hybrid score interval of two independent shares (Newcombe 1998, method 10) at Bonferroni's level
    for all K - 1, and the largest step lies between the largest lower and the largest upper bound. It holds for
    independent trials. Several seeds:
    Student's t over their largest steps.

    Raises: StatisticUndefined below two numbers of parts, or where one was not tried.
    """
    if successes.shape[1] < 2 or not (tried > 0).all():
        raise StatisticUndefined(
            f"{estimand}: a step needs two numbers of parts or more, each tried, got {tried.tolist()}.", code="too-few"
        )
    shares = successes / tried
    steps = np.diff(shares, axis=1)
    if len(steps) > 1:
        return over_seeds(steps.max(axis=1), estimand=estimand, unit="share", level=level)
    return estimated(
        partial(step_ends, successes[0], tried[0]), estimand=estimand, unit="share", point=float(steps[0].max()),
        level=level, n=int(tried[0].sum()), method="Newcombe, Bonferroni", generalises_over=generalises_over,
    )  # fmt: skip


def step_ends(successes: Counts, tried: Counts, level: float) -> tuple[float, float]:
    """The largest of the lower and of the upper bounds of all steps, of shares (K,)."""
    shares = successes / tried
    steps = np.diff(shares)
    low, high = wilson(successes, tried, 1 - (1 - level) / len(steps))
    below = np.sqrt((shares[1:] - low[1:]) ** 2 + (high[:-1] - shares[:-1]) ** 2)
    above = np.sqrt((high[1:] - shares[1:]) ** 2 + (shares[:-1] - low[:-1]) ** 2)
    return float((steps - below).max()), float((steps + above).max())


def wilson(successes: Counts, tried: Counts, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bounds of shares (Wilson 1927), (K,) each."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    shares = successes / tried
    centre = (shares + z**2 / (2 * tried)) / (1 + z**2 / tried)
    half = z * np.sqrt(shares * (1 - shares) / tried + z**2 / (4 * tried**2)) / (1 + z**2 / tried)
    return np.minimum(centre - half, shares), np.maximum(centre + half, shares)


def change_point(successes: Counts, tried: Counts) -> ChangePoint:
    """The likeliest place of one step in shares (K,), from one level to another (Hinkley 1970)."""
    places = np.arange(1, len(tried))
    likelihoods = np.array([
        sum(of_one_share(successes[part].sum(), tried[part].sum()) for part in (slice(place), slice(place, None)))
        for place in places
    ])  # fmt: skip
    likely = places[likelihoods >= likelihoods.max() - LIKELY]
    smooth = of_logistic(successes, tried)
    return ChangePoint(
        int(places[likelihoods.argmax()]), int(likely[0]), int(likely[-1]), float(likelihoods.max() - smooth)
    )


def of_one_share(successes: float, tried: float) -> float:
    """The largest log-likelihood of one share for all."""
    from scipy.special import xlogy

    return float(xlogy(successes, successes / tried) + xlogy(tried - successes, 1 - successes / tried))


def of_logistic(successes: Counts, tried: Counts) -> float:
    """The largest log-likelihood of a logistic curve, by Newton's steps with steepness bounded."""
    from scipy.special import expit, log_expit

    design = np.column_stack([np.ones(len(tried)), np.arange(len(tried)) - (len(tried) - 1) / 2])
    weights = np.zeros(2)
    for _ in range(ROUNDS):
        shares = expit(design @ weights)
        slope = design.T @ (successes - tried * shares)
        curvature = design.T @ (design * (tried * shares * (1 - shares) + 1e-9)[:, None])
        weights = np.clip(weights + np.linalg.solve(curvature, slope), -STEEPEST, STEEPEST)
    odds = design @ weights
    return float(successes @ log_expit(odds) + (tried - successes) @ log_expit(-odds))
