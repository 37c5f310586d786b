"""Many layers or heads at once: intervals that hold for all of them together, and what follows for the extreme one.

Shapes: N units (prompts, or seeds), C columns (layers, heads, contrasts).
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, NotTestable, StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Profiles, Scores
from depthgauge.core.verdict import student_quantile
from depthgauge.stats.clusters import pseudovalues
from depthgauge.stats.levels import FEWEST_RESAMPLED, LEVEL, ROUNDING, estimated, over_seeds, resamples

NEIGHBOURS = 2  # layers on each side that a peak is measured against
AT_ONCE = 256  # columns that are resampled together, so that what is in between stays small


class Bands(NamedTuple):
    """Means of C columns with half-widths that hold simultaneously; `n` units of a `population`, and how.

    `critical_value`: how many standard errors, `errors` (C,), wide the halves are; `quantile_at` gives it by level.
    `clusters` is how many there are of units that belong together, None where each stands for itself.
    """

    means: NDArray[np.float64]
    halves: NDArray[np.float64]
    critical_value: float
    n: int
    population: Population
    method: str
    errors: NDArray[np.float64]
    quantile_at: Callable[[float], float]
    clusters: int | None = None


def simultaneous(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Bands:
    """Column means with intervals that contain all true means together in `level` of repetitions.

    One seed: the quantile over bootstrap resamples of the units, or of the clusters that they come in, of the largest
    |t| over columns (the studentised bootstrap of Efron 1979 and Hall 1988; max-t of Westfall and Young 1993), so that
    columns that move together cost little and skewed differences keep their level. Fewer than 8 units, or several seeds
    (which are then the units, and scatter as a normal does): Student's t with Bonferroni's correction.

    Raises: StatisticUndefined below two units or clusters, for values that are not finite, where no column varies, or
    where so few units differ that resamples often hold none of them.
    """
    several = len(profiles.values) > 1
    values_NC = profiles.values.mean(axis=1) if several else profiles.values[0]
    population: Population = "seeds" if several else profiles.population
    n, columns = values_NC.shape
    if n < 2:
        raise StatisticUndefined(f"{estimand}: an interval needs at least 2 {population}, got {n}.")
    if not np.isfinite(values_NC).all():
        raise StatisticUndefined(
            f"{estimand}: {int((~np.isfinite(values_NC)).sum())} values are not finite.", code="not-finite"
        )
    means = values_NC.mean(axis=0)
    counted_GC = values_NC if several else pseudovalues(values_NC, profiles.clusters)
    counted = len(counted_GC)
    errors = counted_GC.std(axis=0, ddof=1) / counted**0.5
    if not (errors > 0).any():
        raise StatisticUndefined(f"{estimand}: all {n} {population} have the same values, so intervals have no width.")
    few = several or counted < FEWEST_RESAMPLED
    quantile_at = (
        partial(bonferroni_t, counted, columns)
        if few
        else partial(largest_t, np.sort(largest_ts(counted_GC - means, errors)))
    )
    quantile = quantile_at(level)
    if math.isinf(quantile):
        raise StatisticUndefined(f"too few of the {n} units differ from the others for an interval: take more.")
    method = "Bonferroni t" if few else "max-t by bootstrap"
    clusters = counted if counted < n else None
    return Bands(means, quantile * errors, quantile, n, population, method, errors, quantile_at, clusters)


def bonferroni_t(n: int, columns: int, level: float) -> float:
    return student_quantile(1 - (1 - level) / columns, n)


def largest_ts(centred_NC: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Max |t| over columns in each resample of the units; each t has its own standard error."""
    n = len(centred_NC)
    drawn = resamples(n)
    largest = np.zeros(len(drawn))
    for moving in np.array_split(np.flatnonzero(errors > 0), -(-int((errors > 0).sum()) // AT_ONCE)):
        means = drawn @ centred_NC[:, moving] / n
        variances = np.clip(drawn @ centred_NC[:, moving] ** 2 / n - means**2, 0, None) / (n - 1)
        variances[variances < ROUNDING * errors[moving] ** 2] = 0  # no unit that differs was drawn
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.nan_to_num(np.abs(means) / np.sqrt(variances), nan=0.0, posinf=np.inf)
        largest = np.maximum(largest, sizes.max(axis=1))
    return largest


def largest_t(sizes: NDArray[np.float64], level: float) -> float:
    """The `level` quantile of the largest |t|, sorted by size; infinite where resamples are too few for the level."""
    rank = math.ceil(level * (len(sizes) + 1))
    return float(sizes[rank - 1]) if rank <= len(sizes) else math.inf


def least(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The smallest column mean: a claim that holds for every column is one about the least of them.

    If all columns' intervals hold together, the least true mean lies between the least of their lower ends and the
    least of their upper ends.
    """
    bands = simultaneous(profiles, estimand=estimand, level=level)
    column = profiles.columns[int(bands.means.argmin())]
    return extreme(bands, np.min, profiles, f"{estimand} (least: {column})", level)


def greatest(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The largest column mean: a claim that some column exceeds a bound. See `least`."""
    bands = simultaneous(profiles, estimand=estimand, level=level)
    column = profiles.columns[int(bands.means.argmax())]
    return extreme(bands, np.max, profiles, f"{estimand} (greatest: {column})", level)


def most_extreme(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The mean of the column with the largest |t|, with its simultaneous interval: one verdict over all columns.

    If no column differs from 0, the interval excludes 0 in at most 1 - `level` of repetitions.
    """
    bands = simultaneous(profiles, estimand=estimand, level=level)
    sizes = np.divide(np.abs(bands.means), bands.halves, out=np.zeros_like(bands.means), where=bands.halves > 0)
    chosen = int(sizes.argmax())
    column = bands._replace(
        means=bands.means[[chosen]], halves=bands.halves[[chosen]], errors=bands.errors[[chosen]]
    )  # fmt: skip
    return extreme(column, np.max, profiles, f"{estimand} (clearest: {profiles.columns[chosen]})", level)


def extreme(
    bands: Bands, pick: Callable[[NDArray[np.float64]], float], profiles: Profiles, estimand: str, level: float
) -> Estimate:
    return estimated(
        partial(extreme_ends, bands, pick), estimand=estimand, unit=profiles.unit, point=float(pick(bands.means)),
        level=level, n=bands.n, method=bands.method, generalises_over=bands.population,
        critical_value=bands.critical_value, clusters=bands.clusters,
    )  # fmt: skip


def extreme_ends(bands: Bands, pick: Callable[[NDArray[np.float64]], float], level: float) -> tuple[float, float]:
    quantile = bands.quantile_at(level)
    if math.isinf(quantile):
        return -math.inf, math.inf
    return float(pick(bands.means - quantile * bands.errors)), float(pick(bands.means + quantile * bands.errors))


def difference(treatment: Profiles, baseline: Profiles) -> Profiles:
    """Treatment minus baseline, unit by unit; a baseline of one seed is taken from each seed.

    Of several seeds on both sides each is taken from another: that scatters as two independent trainings do, and is
    only wider than Welch's interval, which many columns at once have not.

    Raises: InvalidComparison if units, clusters, columns or units of measure differ.
    """
    for name, first, second in (
        (treatment.population, (treatment.ids, treatment.clusters), (baseline.ids, baseline.clusters)),
        ("layers or heads", treatment.columns, baseline.columns),
        ("unit", treatment.unit, baseline.unit),
    ):
        if first != second:
            raise InvalidComparison(
                f"the two sides do not have the same {name}, and cannot be compared.", code="other-units"
            )
    if len(treatment.values) != len(baseline.values) and len(baseline.values) != 1:
        raise InvalidComparison(
            f"{len(treatment.values)} seeds cannot be paired with {len(baseline.values)}: train as many of each."
        )
    return like(treatment, treatment.columns, treatment.values - baseline.values)


def side_by_side(**contrasts: tuple[Scores, Scores]) -> Profiles:
    """Differences of two scores each as columns, so that several can be claimed at once (see `least`)."""
    first = next(iter(contrasts.values()))[0]
    rows = [difference(as_profiles(first), as_profiles(second)).values[:, :, 0] for first, second in contrasts.values()]
    names = tuple(name.replace("_", " ") for name in contrasts)
    return like(as_profiles(first), names, np.stack(rows, axis=-1))


def as_profiles(scores: Scores) -> Profiles:
    return Profiles(
        ids=scores.ids, columns=("value",), values=scores.values[:, :, None], unit=scores.unit,
        population=scores.population, clusters=scores.clusters,
    )  # fmt: skip


def prominence(profiles: Profiles, *, neighbours: int = NEIGHBOURS) -> Profiles:
    """How far each layer stands out: its value minus the mean of the `neighbours` layers on each side of it.

    Layers with fewer on one side are left out: at the end of a slope they would stand out from all of them.

    Raises: NotTestable if no layer has as many on both sides.
    """
    layers = profiles.values.shape[2]
    inner = range(neighbours, layers - neighbours)
    if not inner:
        raise NotTestable(f"no layer of {layers} has {neighbours} on both sides")
    near = np.abs(np.subtract.outer(np.arange(layers), inner))
    weights = ((near > 0) & (near <= neighbours)) / (2 * neighbours)
    columns = tuple(profiles.columns[layer] for layer in inner)
    return like(profiles, columns, profiles.values[:, :, list(inner)] - profiles.values @ weights)


def lead(profiles: Profiles, column: str) -> Profiles:
    """How far one column lies above each of the others. Raises: NotTestable if there is no such column."""
    leader = profiles.only([column]).values
    others = tuple(name for name in profiles.columns if name != column)
    return like(profiles, others, leader - profiles.only(others).values)


def best_lead(profiles: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """How far the best column lies above the next: the largest of all columns' leads over the others.

    One seed: all pairs of columns have differences whose intervals hold together, so the best lead lies between the
    best of the lower ends and the best of the upper ends, whichever column is the best. Several: chosen for each seed
    by the others, its lead over the best other column, and Student's t over seeds; that lead is below 0 where nothing
    leads.

    Raises: NotTestable below two columns; as `simultaneous` and `over_seeds`.
    """
    if len(profiles.columns) < 2:
        raise NotTestable(f"there is nothing to lead where there is one column, {profiles.columns[0]!r}")
    if len(profiles.values) == 1:
        pairs = list(combinations(range(len(profiles.columns)), 2))
        leading, other = np.array(pairs).T
        names = tuple(f"{profiles.columns[i]} over {profiles.columns[j]}" for i, j in pairs)
        bands = simultaneous(
            like(profiles, names, profiles.values[:, :, leading] - profiles.values[:, :, other]), estimand=estimand,
            level=level,
        )  # fmt: skip
        chosen = int(profiles.values[0].mean(axis=0).argmax())
        both_ways = bands._replace(
            means=np.append(bands.means, -bands.means), errors=np.append(bands.errors, bands.errors)
        )
        pick = partial(largest_of_least, np.append(leading, other), len(profiles.columns))
        return extreme(both_ways, pick, profiles, f"{estimand} ({profiles.columns[chosen]})", level)
    means_SC = profiles.values.mean(axis=1)
    leads = []
    for seed, row in enumerate(means_SC):
        best = int(np.delete(means_SC, seed, axis=0).mean(axis=0).argmax())
        leads.append(row[best] - np.delete(row, best).max())
    return over_seeds(np.array(leads), estimand=estimand, unit=profiles.unit, level=level)


def largest_of_least(leaders: NDArray[np.intp], columns: int, leads: NDArray[np.float64]) -> float:
    """Of each leader's leads over the others (pairs,) the least, and of these the largest."""
    least = np.full(columns, np.inf)
    np.minimum.at(least, leaders, leads)
    return float(least.max())


def argmax_share(profiles: Profiles, column: str, *, resamples: int = 2000) -> float:
    """In what share of bootstrap resamples of the units (Efron 1979) `column` has the largest mean. First seed."""
    values_NC = profiles.values[0]
    n = len(values_NC)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples)
    winners = (drawn @ values_NC).argmax(axis=1)
    return float((winners == profiles.columns.index(column)).mean())


def permutation_p(profiles: Profiles, column: str) -> float:
    """Chance that a column picked at random has at least the mean of `column`: 1/C where it is the largest."""
    means = profiles.values.mean(axis=(0, 1))
    return float((means >= means[profiles.columns.index(column)]).mean())


def like(profiles: Profiles, columns: tuple[str, ...], values: NDArray[np.float64]) -> Profiles:
    return Profiles(
        ids=profiles.ids, columns=columns, values=values, unit=profiles.unit, population=profiles.population,
        clusters=profiles.clusters,
    )  # fmt: skip
