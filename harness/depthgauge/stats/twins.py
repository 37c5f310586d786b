"""Whether a candidate lies among its twins: copies of the same baseline made by the same harmless transformation.

Every member of the group, the candidate too, is standardised by all others, so that under the null hypothesis all are
alike; the largest of a member's columns is judged among the largest of the others, as a maximum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate
from depthgauge.stats.levels import LEVEL

Floats = NDArray[np.float64]
FEWEST = 5
ALIKE = 1e-6  # of a logarithm: twins that spread less do not differ
EXPLODED = 2.0  # of a logarithm's standard deviation: twins that differ by a factor of seven are no twins


class Standing(NamedTuple):
    """Where a candidate stands: `largest` of its columns in standard deviations of the others; `ratios` (M,) of each
    column over the twins' geometric mean; `spread` (M,) of the logarithms of new observations, and `alone` where
    a column's own is larger; `middle` and `deviation` of the logarithm of a new twin's largest column, which is
    Student's with `freedom` degrees.
    """

    largest: float
    ratios: Floats
    spread: Floats
    alone: Floats
    middle: float
    deviation: float
    freedom: int

    def ends(self, level: float) -> tuple[Floats, Floats]:
        """Low ends that hold for all columns at once, and high ends that each holds for its own, (M,) each.

        That some column is off is shown by the best of M chances, and so needs all at once. That none is off by more is
        shown only where every column shows it, which needs no correction (Berger 1982, intersection-union tests): the
        highest high end lies below the largest of the columns with a probability of 1 - `level` at most.
        """
        quantile = special.stdtrit(self.freedom, level)
        with np.errstate(over="ignore"):
            bound = np.exp(self.middle + quantile * self.deviation)
            critical = bound + np.log(-np.expm1(-bound))  # the inverse of what was done to the largest
            lows = self.ratios / np.exp(max(critical, 0.0) * self.spread)
            return lows, self.ratios * np.exp(max(quantile, 0.0) * self.alone)


def standing(candidate: Floats, twins: Floats) -> Standing:
    """A candidate's errors (M,) beside those of its twins (N, M), all above 0.

    Logarithms of maxima of twins are taken to be normal, and a new one to be Student's with N - 1 degrees of freedom.

    Raises: StatisticUndefined for fewer than FEWEST twins, and for twins that do not differ or explode in a column.
    """
    n = len(twins)
    if n < FEWEST:
        raise StatisticUndefined(f"{n} twins are too few to say how much twins differ: make {FEWEST} or more.")
    logs = np.log(np.vstack([candidate, twins]))
    spreads = logs[1:].std(axis=0, ddof=1)
    if not (spreads > ALIKE).all():
        raise StatisticUndefined("the twins do not differ at all: no weight lies near a tie of this rounding.")
    if not (spreads < EXPLODED).all():
        raise StatisticUndefined("the twins differ from each other by more than a factor of seven: one exploded.")
    scores, spread = leave_one_out(logs)
    largest = scores.max(axis=1)
    sizes = np.log(np.logaddexp(0, largest))  # near log(x) for a large x, and defined below 0
    return Standing(
        float(largest[0]), np.exp(logs[0] - logs[1:].mean(axis=0)), spread,
        np.maximum(spread, spreads * np.sqrt(1 + 1 / n)),
        float(sizes[1:].mean()), float(sizes[1:].std(ddof=1) * np.sqrt(1 + 1 / n)), n - 1,
    )  # fmt: skip


def leave_one_out(logs: Floats) -> tuple[Floats, Floats]:
    """Each row standardised by the mean and the spread of the others, (N, M), and the spread for the first row, (M,).

    The variance of a column is averaged with the median over columns: that of ten numbers is known to a factor of two.
    """
    scores, spreads = np.empty_like(logs), np.empty_like(logs)
    for place in range(len(logs)):
        others = np.delete(logs, place, axis=0)
        variance = others.var(axis=0, ddof=1)
        spreads[place] = np.sqrt((variance + np.median(variance)) / 2 * (1 + 1 / len(others)))
        scores[place] = (logs[place] - others.mean(axis=0)) / spreads[place]
    return scores, spreads[0]


def beside_twins(
    candidate: Floats, twins: Floats, names: Sequence[str], *, estimand: str, places: int | None = None,
    level: float = LEVEL,
) -> Estimate:  # fmt: skip
    """The largest of a candidate's errors (M,) over the geometric mean of its twins' (N, M), and what column it is of:
    the one with the highest low end. The first `places` columns are places, all where it is None: of a column that is
    none, the place that is off most is named with it, if that is more than twins are.

    The interval is of the largest: it reaches from the highest low end of any column to the highest high end
    (`Standing.ends`). Of one more twin it lies above 1 with a probability of 1 - `level` at most. Columns in which
    no twin is off, as those of layers that are not rounded, are left out; NaN is no column.

    Raises: StatisticUndefined as `standing`, and if no column is left.
    """
    kept = np.flatnonzero(np.isfinite(candidate) & (candidate > 0) & (twins > 0).all(axis=0))
    if not len(kept):
        raise StatisticUndefined(
            "no twin is off in any layer: the baseline stands on this grid already, and --expect=equal judges a copy."
        )
    stands = standing(candidate[kept], twins[:, kept])
    lows, highs = stands.ends(level)
    column = int(lows.argmax())

    def interval_at(level: float) -> tuple[float, float]:
        ends = stands.ends(level)
        return float(ends[0].max()), float(ends[1].max())

    better = ", and so better than its twins everywhere" if stands.largest < 0 else ""
    by = ""
    if places is not None and kept[column] >= places:
        first = int(np.where(kept < places, lows, -np.inf).argmax())
        by = f", by {names[kept[first]]}" if kept[first] < places and lows[first] > 1 else ""
    return Estimate(
        estimand=estimand, unit="times its twins", point=float(stands.ratios[column]), low=float(lows[column]),
        high=float(highs.max()), level=level, n=len(twins), method="Student t", generalises_over="roundings",
        where=f"{names[kept[column]]}{by}{better}", interval_at=interval_at,
    )  # fmt: skip
