"""The shape of every matrix's weights in one pass over the files: moments, and a histogram as fine as a rounding.

A weight's bucket is its sign, its exponent and 10 bits of its mantissa as a float32: no range need be known, and a
bucket is .1 % wide. Distances between distributions are so exact up to what the fullest bucket holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from depthgauge.errors import InvalidCheckpoint
from depthgauge.models.tensors import (
    Layout,
    Stored,
    configuration,
    decode,
    elements,
    layout,
    parts,
    tensors,
)  # fmt: skip

PIECE, CHUNK = 1 << 21, 1 << 14  # elements in memory, and in a fast cache, at once
SHIFT, BUCKETS = 13, 1 << 19
FAR = 6  # standard deviations, beyond which a weight is an outlier


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Of one matrix: `mean` over the standard deviation; excess `kurtosis`; `ks`, the largest distance between its
    distribution function and that of a Gaussian of its mean and deviation (Kolmogorov 1933); `qq`, the correlation of
    its quantiles with a Gaussian's; `outliers`, the share beyond six deviations. A Gaussian has 0, 0, 0, 1 and 2e-9.
    """

    std: float
    mean: float
    kurtosis: float
    ks: float
    qq: float
    outliers: float


class Tally:
    """What is added up of one matrix: power sums about a centre near its mean, and the counts of buckets."""

    def __init__(self) -> None:
        self.n, self.centre = 0, 0.0
        self.powers = np.zeros(4)
        self.counts = np.zeros(BUCKETS, np.int64)

    def add(self, weights: NDArray[np.float32]) -> None:
        if not len(weights):  # a piece of a fused tensor, none of which is this matrix
            return
        if not self.n:
            self.centre = float(weights.mean(dtype=np.float64))
        for first in range(0, len(weights), CHUNK):
            away = weights[first : first + CHUNK].astype(np.float64) - self.centre
            squares = away * away
            self.powers += away.sum(), squares.sum(), squares @ away, squares @ squares
        self.counts += np.bincount(weights.view(np.uint32) >> SHIFT, minlength=BUCKETS)
        self.n += len(weights)


def shapes(folder: Path) -> dict[str, Shape]:
    """Of every matrix of a layer that is a projection, 'layer 3 q', by layer.

    Raises: InvalidCheckpoint if a folder cannot be read, or naming the matrix if a weight is NaN or infinite.
    """
    config, found = configuration(folder), {}
    for stored in tensors(folder).values():
        cut = layout(stored, config)
        if cut.layer is not None:
            for projection, tally in tallies(stored, cut).items():
                found[cut.layer, f"layer {cut.layer} {projection}"] = shape_of(tally, stored)
    return {name: found[layer, name] for layer, name in sorted(found, key=lambda one: one[0])}


def tallies(stored: Stored, cut: Layout) -> dict[str, Tally]:
    """By projection, of which a tensor may hold several; empty for norms and biases."""
    found = {str(name): Tally() for name, _ in cut.parts if name is not None}
    for first, weights in pieces(stored, cut) if found else ():
        if len(cut.parts) == 1:
            found[str(cut.parts[0][0])].add(weights)
            continue
        by_segment = weights.reshape(-1, cut.segment)
        groups = cut.groups(first, first + len(by_segment))
        for name, its in parts(cut):
            found[str(name)].add(by_segment[np.isin(groups, its)].ravel())
    return found


def pieces(stored: Stored, cut: Layout) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Whole segments as float32, with the number of the first; each piece is overwritten by the next."""
    step = max(1, PIECE // cut.segment) * cut.segment
    size = int(np.prod(stored.shape))
    room = np.empty((1, min(step, size)), np.float32)
    for first in range(0, size, step):
        piece = room[:, : min(step, size - first)]
        decode(elements(stored, first, first + piece.size), piece, stored.dtype)
        yield first // cut.segment, piece[0]


def shape_of(tally: Tally, stored: Stored) -> Shape:
    first, second, third, fourth = tally.powers / tally.n
    variance = second - first**2
    if not np.isfinite(fourth):
        raise InvalidCheckpoint(
            f"{stored.name} in {stored.path} holds weights that are NaN or infinite: train it again."
        )
    if variance <= 0:
        return Shape(std=0.0, mean=np.nan, kurtosis=np.nan, ks=np.nan, qq=np.nan, outliers=np.nan)
    mean, std = tally.centre + first, variance**0.5
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    values, counts = in_order(tally.counts)
    below = np.cumsum(counts) / tally.n
    edges = ndtr(((values[:-1] + values[1:]) / 2 - mean) / std)
    return Shape(
        std=float(std),
        mean=float(mean / std),
        kurtosis=float(central / variance**2 - 3),
        ks=float(np.abs(below[:-1] - edges).max(initial=0)),
        qq=quantile_correlation(values, counts / tally.n),
        outliers=float(counts[np.abs(values - mean) > FAR * std].sum() / tally.n),
    )


def in_order(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The middles of the buckets that hold something, ascending, and how much they hold."""
    bits = np.flatnonzero(counts)
    positive = np.searchsorted(bits, BUCKETS // 2)
    bits = np.concatenate([bits[positive:][::-1], bits[:positive]])  # a negative float's bits descend
    middles = ((bits.astype(np.uint32) << SHIFT) | (1 << (SHIFT - 1))).view(np.float32)
    return middles.astype(np.float64), counts[bits]


def quantile_correlation(values: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Of the weights with the Gaussian quantiles of their ranks; over a bucket these average to a closed form."""
    ends = np.concatenate([[-np.inf], ndtri(np.cumsum(shares)[:-1]), [np.inf]])
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    away = values - shares @ values
    return float(away @ (density[:-1] - density[1:]) / np.sqrt(shares @ away**2))
