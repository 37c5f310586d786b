"""How often intervals hold the truth where units are what units are: `python -m benchmarks.coverage`, `make coverage`.

Every estimator is simulated in the settings in which claims use it: units that come in clusters, series, few seeds,
skewed values, counts of 0. Of the intervals of 95 % that are given, at least 92 % should hold the truth. Data sets that
an estimator refuses have no interval: they are no part of that share, and their own stands beside. Where so few have an
interval that chance alone decides which, below one in ten, the share is printed and held to no bar. Exits with 1 where
one falls short.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from tabulate import tabulate

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Profiles, Scores
from depthgauge.stats import (
    best_lead,
    chance_below,
    classifier_auc,
    exact_factor,
    exactly,
    greatest,
    independent_difference,
    largest_step,
    mean,
    most_extreme,
    paired_difference,
    rank_correlation,
    rise,
    sequential_difference,
    share,
)

BAR, SIMULATIONS = 0.92, 4000
SELDOM = 0.1  # of data sets: with fewer intervals what is said of them is said of those that look independent by chance
Random = np.random.Generator
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """An estimator on simulated data: what is drawn, and the true value. `slow` ones are simulated with --slow."""

    estimator: str
    data: str
    draw: Callable[[Random], Estimate]
    truth: float
    slow: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Of so many data sets, those whose interval lay above the truth, below it, and those that were refused."""

    simulations: int
    above: int
    below: int
    refused: int

    @property
    def given(self) -> int:
        """The data sets that have an interval."""
        return self.simulations - self.refused

    @property
    def held(self) -> float | None:
        """The share of the intervals given that hold the truth; None where none was given."""
        return 1 - (self.above + self.below) / self.given if self.given else None

    @property
    def short(self) -> bool:
        """Whether they hold it less often than the bar asks, of intervals that are given often enough to be asked."""
        return self.held is not None and self.given >= SELDOM * self.simulations and self.held < BAR

    @property
    def cells(self) -> tuple[str, ...]:
        """Shares of the intervals given that hold the truth, lie above and below it, and of data sets refused."""
        of_given = (f"{part / self.given:.1%}" if self.given else "-" for part in (self.above, self.below))
        held = "-" if self.held is None else f"{self.held:.1%}"
        return (held, *of_given, f"{self.refused / self.simulations:.1%}")


def coverage(setting: Setting, simulations: int, seed: int = 0) -> Coverage:
    random, found = np.random.default_rng([seed, len(setting.data), len(setting.estimator)]), [0, 0, 0]
    for _ in range(simulations):
        try:
            estimate = setting.draw(random)
        except StatisticUndefined:
            found[2] += 1
        else:
            found[0] += estimate.low > setting.truth + 1e-9
            found[1] += estimate.high < setting.truth - 1e-9
    return Coverage(simulations=simulations, above=found[0], below=found[1], refused=found[2])


def scores(values: Any, clusters: Sequence[int] = (), right: float | None = None, unit: str = "nats") -> Scores:
    values = np.atleast_2d(np.asarray(values, dtype=float))
    return Scores(
        ids=tuple(map(str, range(values.shape[1]))), values=values, unit=unit, population="units", right=right,
        clusters=tuple(map(str, clusters)),
    )  # fmt: skip


def profiles(values: Any, clusters: Sequence[int] = ()) -> Profiles:
    values = np.asarray(values, dtype=float)
    values = values[None] if values.ndim == 2 else values
    ids, columns = (tuple(map(str, range(n))) for n in values.shape[1:])
    return Profiles(
        ids=ids, columns=columns, values=values, unit="nats", population="units", clusters=tuple(map(str, clusters))
    )


def groups(count: int, size: int) -> NDArray[np.intp]:
    return np.repeat(np.arange(count), size)


def uneven(count: int, most: int) -> NDArray[np.intp]:
    """Clusters of sizes from 1 to `most`."""
    return np.repeat(np.arange(count), np.linspace(1, most, count).round().astype(int))


def alike(random: Random, clusters: NDArray[np.intp], icc: float, columns: int = 1) -> Numbers:
    """Normal values (N, C) of which those of one cluster correlate by `icc`."""
    shared = random.normal(size=(clusters.max() + 1, columns))[clusters]
    return np.asarray(icc**0.5 * shared + (1 - icc) ** 0.5 * random.normal(size=(len(clusters), columns)))


def odd(random: Random, clusters: NDArray[np.intp], rate: float, icc: float) -> Numbers:
    """0s and 1s (N,) of which those of one cluster correlate by `icc` (beta-binomial)."""
    if icc == 0:
        return (random.random(len(clusters)) < rate).astype(float)
    by_cluster = random.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, size=clusters.max() + 1)
    return (random.random(len(clusters)) < by_cluster[clusters]).astype(float)


def series(random: Random, n: int, correlation: float) -> Numbers:
    """A stationary autoregression of the first order."""
    found = random.normal(size=n)
    found[1:] *= (1 - correlation**2) ** 0.5
    for place in range(1, n):
        found[place] += correlation * found[place - 1]
    return found


def answers(
    random: Random, clusters: NDArray[np.intp], icc: float, changed: float, lost: float
) -> tuple[Scores, Scores]:
    """A task's scores of two checkpoints, candidate first: `changed` of the answers are other ones, `lost` net."""
    loss = np.clip((changed + lost) / 2, 0, 1)
    kind = odd(random, clusters, changed, icc).astype(bool)
    before = (random.random(len(clusters)) < 0.6).astype(float)
    worse = odd(random, clusters, loss / changed, icc).astype(bool)
    after = np.where(kind, np.where(worse, 0.0, 1.0), before)
    before = np.where(kind, 1 - after, before)
    return scores(100 * after, clusters, 100.0, "points"), scores(100 * before, clusters, 100.0, "points")


def last(looks: Iterator[Estimate]) -> Estimate:
    *_, found = looks
    return found


def first_that_decides(looks: Iterator[Estimate], truth: float) -> Estimate:
    """The first look whose interval misses the truth, or the last."""
    found = None
    for found in looks:
        if not found.low <= truth <= found.high:
            break
    assert found is not None
    return found


def in_blocks(pair: tuple[Scores, Scores], block: int = 50) -> Iterator[tuple[Scores, Scores]]:
    n = len(pair[0].ids)
    for stop in [*range(block, n, block), n]:
        one, other = (
            replace(side, ids=side.ids[:stop], values=side.values[:, :stop], clusters=side.clusters[:stop])
            for side in pair
        )
        yield one, other


def of_shares() -> Iterator[Setting]:
    shapes = {"8 kinds of 8": groups(8, 8), "40 kinds of 1": groups(40, 1), "40 kinds of 2": groups(40, 2)}
    for name, clusters in {**shapes, "12 kinds of 1 to 12": uneven(12, 12)}.items():
        for rate, icc in ((0.01, 0.5), (0.1, 0.2), (0.1, 0.5), (0.5, 0.5), (0.9, 0.2)):
            yield Setting(
                estimator="share", data=f"{name}, {rate:g} odd, ICC {icc:g}", truth=rate,
                draw=lambda random, clusters=clusters, rate=rate, icc=icc: share(
                    scores(odd(random, clusters, rate, icc), clusters), estimand="x"
                ),
            )  # fmt: skip
    yield Setting(
        estimator="share", data="64 independent, 0.02", truth=0.02,
        draw=lambda random: share(scores(odd(random, groups(64, 1), 0.02, 0)), estimand="x"),
    )  # fmt: skip


def of_means() -> Iterator[Setting]:
    for name, clusters in {"8 kinds of 8": groups(8, 8), "12 kinds of 1 to 12": uneven(12, 12)}.items():
        for icc in (0.1, 0.3, 0.5):
            yield Setting(
                estimator="mean, paired_difference", data=f"{name}, ICC {icc:g}", truth=0,
                draw=lambda random, clusters=clusters, icc=icc: mean(
                    scores(alike(random, clusters, icc)[:, 0], clusters), estimand="x"
                ),
            )  # fmt: skip
    for n, sigma in ((40, 0.75), (40, 1.0), (64, 1.0)):
        yield Setting(
            estimator="mean, paired_difference", data=f"{n} kinds of 1, lognormal {sigma:g}",
            truth=math.exp(sigma**2 / 2),
            draw=lambda random, n=n, sigma=sigma: mean(scores(np.exp(sigma * random.normal(size=n))), estimand="x"),
        )  # fmt: skip
    yield Setting(
        estimator="mean, paired_difference", data="40 kinds of 1, spread by kind lognormal 1", truth=0,
        draw=lambda random: mean(scores(random.lognormal(0, 1, 40) * random.normal(size=40)), estimand="x"),
    )  # fmt: skip
    yield Setting(
        estimator="mean, paired_difference", data="64 of three levels, 0.1 differ", truth=0,
        draw=lambda random: mean(scores(random.choice([-1, 0, 1], 64, p=[0.05, 0.9, 0.05])), estimand="x"),
    )  # fmt: skip
    yield Setting(
        estimator="independent_difference", data="12 and 40 units, spreads 3 and 1", truth=0,
        draw=lambda random: independent_difference(
            scores(random.normal(0, 3, 12)), scores(random.normal(0, 1, 40)), estimand="x"
        ),
    )  # fmt: skip
    yield Setting(
        estimator="chance_below", data="10 and 60 heads, chance 0.8", truth=0.8,
        draw=lambda random: chance_below(
            [random.normal(size=10)], [random.normal(scipy_stats.norm.ppf(0.8) * 2**0.5, 1, 60)], estimand="x",
            generalises_over="heads",
        ),
    )  # fmt: skip


def of_columns() -> Iterator[Setting]:
    def all_hold(sample: Profiles, truth: float) -> Estimate:
        """The columns' intervals, moved to the truth: the clearest misses it just where any does."""
        return most_extreme(replace(sample, values=sample.values - truth), estimand="x")

    shapes = {"8 kinds of 8": (groups(8, 8), 0.5), "40 kinds of 1": (groups(40, 1), 0), "40 of 2": (groups(40, 2), 0.5)}
    for name, (clusters, icc) in shapes.items():
        yield Setting(
            estimator="max-t bands", data=f"{name}, 34 columns, ICC {icc:g}", truth=0,
            draw=lambda random, clusters=clusters, icc=icc: all_hold(
                profiles(alike(random, clusters, icc, 34), clusters), 0
            ),
        )  # fmt: skip
    for n in (15, 40):
        yield Setting(
            estimator="max-t bands", data=f"{n} units, 34 columns, lognormal 1", truth=0,
            draw=lambda random, n=n: all_hold(profiles(np.exp(random.normal(size=(n, 34)))), math.exp(0.5)),
        )  # fmt: skip
    yield Setting(
        estimator="max-t bands", data="64 units, 34 columns, 0.9 are 0", truth=0,
        draw=lambda random: all_hold(
            profiles((random.random((64, 34)) < 0.1) * random.normal(size=(64, 34))), 0
        ),
    )  # fmt: skip
    for lead in (0.0, 0.3, 1.0):
        yield Setting(
            estimator="best_lead", data=f"64 units, 12 columns, one leads by {lead:g} sd", truth=lead,
            draw=lambda random, lead=lead: best_lead(
                profiles(random.normal(size=(64, 12)) + lead * (np.arange(12) == 5)), estimand="x"
            ),
        )  # fmt: skip
    yield Setting(
        estimator="greatest over seeds", data="5 seeds, 16 columns", truth=0,
        draw=lambda random: greatest(profiles(random.normal(size=(5, 1, 16))), estimand="x"),
    )  # fmt: skip


def of_tasks() -> Iterator[Setting]:
    for items, size, icc in ((449, 1, 0.0), (440, 4, 0.3), (450, 9, 0.3), (450, 90, 0.2)):
        clusters = groups(items // size, size)
        for changed, lost in ((0.02, 0.0), (0.1, 0.02), (0.3, 0.07)):
            yield Setting(
                estimator="sequential_difference, last", truth=-100 * lost,
                data=f"{items} items, {items // size} groups, ICC {icc:g}, {changed:g} changed, {lost:g} lost",
                draw=lambda random, clusters=clusters, icc=icc, changed=changed, lost=lost: last(
                    sequential_difference(
                        iter([answers(random, clusters, icc, changed, lost)]), estimand="x"
                    )
                ),
            )  # fmt: skip
    yield Setting(
        estimator="sequential_difference, any look", data="449 items, 0.2 changed", truth=0,
        draw=lambda random: first_that_decides(
            sequential_difference(in_blocks(answers(random, groups(449, 1), 0, 0.2, 0.0)), estimand="x"), 0
        ),
    )  # fmt: skip
    yield Setting(
        estimator="sequential_difference, any look", data="450 items, 5 groups, ICC 0.2, 0.2 changed", truth=0,
        draw=lambda random: first_that_decides(
            sequential_difference(in_blocks(answers(random, groups(5, 90), 0.2, 0.2, 0.0)), estimand="x"), 0
        ),
    )  # fmt: skip


def of_seeds() -> Iterator[Setting]:
    yield Setting(
        estimator="exactly over seeds", data="3 seeds, whole numbers, 0.8 alike", truth=4.2,
        draw=lambda random: exactly(random.choice([4.0, 5.0], 3, p=[0.8, 0.2]), estimand="x", unit="layers"),
    )  # fmt: skip
    for rate, spread in ((0.0, 0), (0.004, 0), (0.05, 0.02), (0.5, 0.05)):
        yield Setting(
            estimator="share over seeds", data=f"3 seeds of 128, share {rate:g}, sd of seeds {spread:g}", truth=rate,
            draw=lambda random, rate=rate, spread=spread: share(
                scores(random.random((3, 128)) < np.clip(random.normal(rate, spread, (3, 1)), 0, 1)), estimand="x"
            ),
        )  # fmt: skip
    for n in (3, 5):
        yield Setting(
            estimator="paired_difference, seeds", data=f"{n} seeds against {n} of another training", truth=1,
            draw=lambda random, n=n: paired_difference(
                scores(random.normal(1, 2, (n, 1)) + random.normal(size=(n, 100))),
                scores(random.normal(0, 1, (n, 1)) + random.normal(size=(n, 100))), estimand="x",
            ),
        )  # fmt: skip
    yield Setting(
        estimator="exact_factor over seeds", data="5 seeds, lognormal 1", truth=1,
        draw=lambda random: exact_factor(np.exp(random.normal(size=5)), estimand="x"),
    )  # fmt: skip


def of_series() -> Iterator[Setting]:
    for n in (60, 200):
        for correlation in (0.0, 0.4, 0.9):
            yield Setting(
                estimator="rise", data=f"{n} steps, autocorrelation {correlation:g}", truth=0,
                draw=lambda random, n=n, correlation=correlation: rise(
                    scores(series(random, n, correlation)), estimand="x"
                ),
            )  # fmt: skip
    for correlation in (0.0, 0.5, 0.9):
        yield Setting(
            estimator="rank_correlation", data=f"36 layers, autocorrelation {correlation:g}", truth=0,
            draw=lambda random, correlation=correlation: rank_correlation(
                profiles(series(random, 36, correlation)[None]), estimand="x"
            ),
        )  # fmt: skip
    yield Setting(
        estimator="largest_step", data="8 numbers of parts, 64 each, step 0.5", truth=0.5,
        draw=lambda random: largest_step(
            random.binomial(64, [[0.2, 0.2, 0.2, 0.2, 0.7, 0.7, 0.7, 0.7]]), np.full((1, 8), 64), estimand="x",
            generalises_over="items",
        ),
    )  # fmt: skip


def of_samples() -> Iterator[Setting]:
    shift = 1.0
    yield Setting(
        estimator="classifier_auc", data="60 and 60 samples of 2 numbers, equal", truth=0.5, slow=True,
        draw=lambda random: classifier_auc(
            *(profiles(random.normal(size=(60, 2))) for _ in range(2)), estimand="x"
        ),
    )  # fmt: skip
    yield Setting(
        estimator="classifier_auc", data=f"100 and 100 samples of 1 number, {shift:g} sd apart", slow=True,
        truth=float(scipy_stats.norm.cdf(shift / 2**0.5)),
        draw=lambda random: classifier_auc(
            profiles(random.normal(shift, 1, (100, 1))), profiles(random.normal(size=(100, 1))), estimand="x"
        ),
    )  # fmt: skip


def settings() -> list[Setting]:
    parts = (of_shares, of_means, of_columns, of_tasks, of_seeds, of_series, of_samples)
    return [setting for part in parts for setting in part()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="data sets a setting (%(default)s)")
    parser.add_argument("--slow", action="store_true", help="the settings that take many minutes, too")
    parser.add_argument("--only", default="", help="settings of estimators whose name begins so")
    given = parser.parse_args()
    rows, short = [], 0
    for setting in settings():
        if not setting.estimator.startswith(given.only) or (setting.slow and not given.slow):
            continue
        began = time.monotonic()
        found = coverage(setting, given.simulations)
        short += found.short
        rows.append([setting.estimator, setting.data, *found.cells])
        print(*rows[-1], f"{time.monotonic() - began:.0f} s", sep=" | ", file=sys.stderr, flush=True)
    headers = ("estimator", "data", "holds the truth", "lies above it", "lies below it", "refused")
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
    if short:
        raise SystemExit(f"{short} of {len(rows)} settings hold the truth in less than {BAR:.0%} of their intervals.")


if __name__ == "__main__":
    main()
