"""Units that belong together: what an interval counts where those of one kind, fact or prompt resemble each other.

Shapes: N units, G clusters, C columns.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Profiles, Scores
from depthgauge.core.verdict import student_quantile

Numbers = NDArray[np.float64]
RARE = 6  # clusters that hold a value: below, how alike units of one cluster are cannot be measured


def clustered(measured: Scores | Profiles) -> bool:
    """Whether some units share a cluster."""
    return len(set(measured.clusters)) < len(measured.clusters)


def check_independent(measured: Scores | Profiles, estimand: str) -> None:
    """Raises: StatisticUndefined where units come in clusters, which the statistic cannot count."""
    if clustered(measured):
        raise StatisticUndefined(
            f"{estimand}: {len(measured.ids)} {measured.population} belong to {len(set(measured.clusters))} clusters, "
            "and this interval holds for independent ones alone: take one of each cluster.",
            code="dependent",
        )


def places_of(clusters: Sequence[str]) -> NDArray[np.intp]:
    """The number of each unit's cluster, (N,)."""
    return np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1]


def pseudovalues(values_NC: Numbers, clusters: Sequence[str]) -> Numbers:
    """A value a cluster, (G, C), whose mean is that of all units, and whose scatter is that of the mean over clusters.

    How far the mean moves where the cluster is left out (the jackknife: Tukey 1958; CV3 of MacKinnon, Nielsen and Webb
    2023, which holds for clusters of unequal sizes). Of clusters of one size these are the clusters' means. The values
    as they are where there are no clusters.

    Raises: StatisticUndefined for a single cluster.
    """
    if not clusters:
        return values_NC
    places = places_of(clusters)
    sizes = np.bincount(places)[:, None].astype(float)
    groups, n = len(sizes), len(values_NC)
    if groups < 2:
        raise StatisticUndefined(f"an interval needs at least 2 clusters of units, got {groups} of {n} units.")
    mean = values_NC.mean(axis=0)
    moves = np.zeros((groups, values_NC.shape[1]))
    np.add.at(moves, places, values_NC - mean)
    moves *= (groups - 1) / (n - sizes)
    return np.asarray(mean + moves - moves.mean(axis=0))


def effective_size(values: Numbers, clusters: Sequence[str], level: float) -> float:
    """How many independent units would give the mean of these (N,) the error that it has by clusters.

    N over the design effect, and fewer for a design effect that is known from few clusters (Korn and Graubard 1998).
    Where hardly a cluster differs from the others the design effect cannot be measured: at most one unit a cluster.
    """
    n = len(values)
    if not clusters:
        return float(n)
    groups = len(set(clusters))
    by_cluster = pseudovalues(values[:, None], clusters)[:, 0]
    error, plain = by_cluster.var(ddof=1) / groups, values.var(ddof=1) / n
    places, which = places_of(clusters), np.unique(values, return_inverse=True)[1]
    odd = which != np.bincount(which).argmax()
    alike = min(len(set(places[odd])), len(set(places[~odd])))
    few = (student_quantile(level, n) / student_quantile(level, groups)) ** 2
    size = n * plain / error * few if error > 0 else float(n)
    return float(np.clip(min(size, groups) if alike < RARE else size, 1, n))
