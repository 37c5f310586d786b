"""Whether two sets of samples can be told apart: a classifier two-sample test (Lopez-Paz and Oquab 2017).

N samples of D numbers each. The generator may be anything: a language model, a simulator of detector showers.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Estimate, Profiles
from depthgauge.stats.clusters import check_independent
from depthgauge.stats.levels import LEVEL, estimated, over_seeds

FEWEST, FOLDS, PERMUTATIONS, BINS = 50, 5, 199, 5
DIRECTIONS = 24  # of the most variance, where samples have more numbers: few enough for a hundred samples
SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity


def classifier_auc(first: Profiles, second: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The area under the curve of a linear classifier on samples that it was not fitted to: 0.5 where nothing differs.

    The classifier is Fisher's, its covariance shrunk, fitted on four fifths and asked about the last, in turn; the area
    is the mean over the fifths. The interval is as wide as the area scatters when labels are permuted: it holds 0.5 for
    equal generators as often as its level says, and is somewhat too wide for others. Samples of the same `ids`, such as
    two texts after one opening, are a pair: both stand in one fifth, or the classifier would know the one by the other,
    and labels are permuted within pairs. It holds for samples, or pairs, that are independent. Several seeds:
    Student's t over their areas.

    Raises: InvalidComparison for samples of other sizes; StatisticUndefined below 50 of each, or for what is not
    finite.
    """
    samples, folds, labels = laid_out(first, second, estimand)
    by_seed = np.stack([cross_fitted_areas(main_directions(seed), labels, folds) for seed in samples])
    if len(by_seed) > 1:
        return over_seeds(by_seed[:, 0], estimand=estimand, unit="area", level=level)
    point, *null = by_seed[0].tolist()
    return estimated(
        partial(area_ends, point, np.abs(np.array(null) - 0.5)), estimand=estimand, unit="area", point=point,
        level=level, n=len(folds), method="permutation", generalises_over=first.population,
    )  # fmt: skip


def area_ends(point: float, halves: NDArray[np.float64], level: float) -> tuple[float, float]:
    """As wide as areas of permuted labels scatter; no p is below 1 in so many."""
    rank = math.ceil(level * (len(halves) + 1))
    half = float(np.sort(halves)[rank - 1]) if rank <= len(halves) else 1.0
    return max(0.0, point - half), min(1.0, point + half)


def laid_out(
    first: Profiles, second: Profiles, estimand: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """All samples (seeds, N, D), the fifth each is in (N,), and labels (K, N): the true ones, then permuted ones.

    Raises: as `classifier_auc`.
    """
    if first.columns != second.columns:
        raise InvalidComparison(
            f"{estimand}: samples have {len(first.columns)} numbers on one side and {len(second.columns)} on the other."
        )
    for side in (first, second):
        check_independent(side, estimand)
    fewest = min(len(first.ids), len(second.ids))
    if fewest < FEWEST:
        raise StatisticUndefined(f"{estimand}: it takes at least {FEWEST} samples of each, got {fewest}.")
    samples = np.concatenate([first.values, second.values], axis=1)
    if not np.isfinite(samples).all():
        raise StatisticUndefined(f"{estimand}: some samples are not finite.", code="not-finite")
    is_one, random = np.arange(samples.shape[1]) < len(first.ids), np.random.default_rng(0)
    if first.ids == second.ids:
        folds = np.tile(random.permutation(len(first.ids)) % FOLDS, 2)
        swapped = np.tile(random.random((PERMUTATIONS, len(first.ids))) < 0.5, (1, 2))
        return samples, folds, np.concatenate([is_one[None], is_one ^ swapped])
    folds = random.permutation(len(is_one)) % FOLDS
    return samples, folds, np.array([is_one, *(random.permutation(is_one) for _ in range(PERMUTATIONS))])


class Reliability(NamedTuple):
    """By fifths of the samples, from the least to the most sure: what a classifier said, and how often it was so."""

    said: NDArray[np.float64]
    frequency: NDArray[np.float64]
    counts: NDArray[np.intp]

    @property
    def error(self) -> float:
        """The expected calibration error of Naeini et al. (2015): the mean distance of both, weighted by counts."""
        return float((self.counts * np.abs(self.said - self.frequency)).sum() / self.counts.sum())


def reliability(first: Profiles, second: Profiles, *, estimand: str) -> Reliability:
    """Whether the classifier of `classifier_auc` is as sure as it should be that samples are the first generator's.

    Its chance for a sample is that of two normal laws with one covariance, and it was fitted to others. First seed.

    Raises: as `classifier_auc`.
    """
    samples, folds, labels = laid_out(first, second, estimand)
    reduced, is_one, chances = main_directions(samples[0]), labels[0], np.empty(len(folds))
    for fold in range(FOLDS):
        held = folds == fold
        direction = fisher(reduced[~held], labels[:1, ~held])[0]
        middle = sum(reduced[~held & side].mean(axis=0) for side in (is_one, ~is_one)) / 2
        chances[held] = 1 / (1 + np.exp(-(reduced[held] - middle) @ direction))
    fifths = np.array_split(np.argsort(chances, kind="stable"), BINS)
    said, frequency = (np.array([values[fifth].mean() for fifth in fifths]) for values in (chances, is_one))
    return Reliability(said, frequency, np.array([len(fifth) for fifth in fifths]))


def main_directions(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the directions in which all samples together vary most: which set one is from plays no part."""
    centred: NDArray[np.float64] = samples - samples.mean(axis=0)
    if centred.shape[1] <= DIRECTIONS:
        return centred
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ directions[:DIRECTIONS].T)


def cross_fitted_areas(
    samples: NDArray[np.float64], labels: NDArray[np.bool_], folds: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The mean area over the folds for each labelling (K, N) of the samples."""
    by_draw = []
    for fold in range(FOLDS):
        held = folds == fold
        directions = fisher(samples[~held], labels[:, ~held])
        by_draw.append(areas(directions @ samples[held].T, labels[:, held]))
    return np.asarray(np.mean(by_draw, axis=0))


def fisher(samples: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The directions of Fisher (1936) that part the samples by each labelling (K, N): (K, D)."""
    chosen = labels.astype(float)
    sizes = np.stack([chosen.sum(axis=1), (1 - chosen).sum(axis=1)])
    means = np.stack([chosen @ samples, (1 - chosen) @ samples]) / sizes[..., None]
    between = np.einsum("sk,skd,ske->kde", sizes, means, means)
    covariance = (samples.T @ samples - between) / len(samples)
    size = np.trace(covariance, axis1=1, axis2=2)[:, None, None] / samples.shape[1]
    shrunk = (1 - SHRINKAGE) * covariance + (SHRINKAGE * size + np.finfo(float).tiny) * np.eye(samples.shape[1])
    return np.asarray(np.linalg.solve(shrunk, (means[0] - means[1])[..., None])[..., 0])


def areas(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each labelling (K, N), the chance that a labelled sample scores higher than one of the others (Mann and
    Whitney 1947); ties half, and half where one side is empty.
    """
    ahead = (np.sign(scores[:, :, None] - scores[:, None, :]) + 1) / 2
    pairs = labels[:, :, None] & ~labels[:, None, :]
    count = pairs.sum(axis=(1, 2))
    return np.asarray(np.where(count, (ahead * pairs).sum(axis=(1, 2)) / np.maximum(count, 1), 0.5))
