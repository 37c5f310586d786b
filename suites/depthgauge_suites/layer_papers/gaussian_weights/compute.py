"""The shape of every matrix's weights in one pass over the files: moments, and a histogram as fine as a rounding.

A weight's bucket is its sign, its exponent and 10 bits of its mantissa as a float32: no range need be known, and a
bucket is .1 % wide. Distances between distributions are so exact up to what the fullest bucket holds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.folder import tensors
from depthgauge.formats.tensors import LONGEST_ROW, Layout, Tensor, configuration, decode, elements, layout, parts

PIECE, CHUNK = 1 << 20, LONGEST_ROW  # elements in memory, and in one sum, at once
SHIFT = 13  # bits of a float32 that a bucket leaves out
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
    """What is added up of one matrix: the counts of buckets, and power sums about a centre near its mean.

    A bfloat16 is half a float32, and its buckets hold one number each: their counts say all.
    """

    def __init__(self, dtype: str) -> None:
        self.exact = dtype == "BF16"
        self.shift = 16 if self.exact else SHIFT
        self.n, self.centre = 0, 0.0
        self.powers = np.zeros(4)
        self.counts = np.zeros(1 << (32 - self.shift), np.int64)

    def add(self, weights: NDArray[Any]) -> None:
        """Weights as float32, or the bits of bfloat16."""
        if not len(weights):  # a piece of a fused tensor, none of which is this matrix
            return
        self.n += len(weights)
        if self.exact:
            self.counts += np.bincount(weights, minlength=len(self.counts))
            return
        if self.n == len(weights):
            self.centre = float(weights[:CHUNK].mean(dtype=np.float64))
        for first in range(0, len(weights), CHUNK):
            self.powers += powers_of(weights[first : first + CHUNK] - np.float64(self.centre))
        self.counts += np.bincount(weights.view(np.uint32) >> self.shift, minlength=len(self.counts))

    def in_order(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What the buckets that hold something stand for, ascending, and how much they hold."""
        bits = np.flatnonzero(self.counts)
        positive = np.searchsorted(bits, len(self.counts) // 2)
        bits = np.concatenate([bits[positive:][::-1], bits[:positive]])  # a negative float's bits descend
        middle = 0 if self.exact else 1 << (self.shift - 1)
        values = ((bits.astype(np.uint32) << self.shift) | middle).view(np.float32)
        return values.astype(np.float64), self.counts[bits]

    def moments(self, values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The first four about the centre."""
        if self.exact:
            return np.array([counts @ values**power for power in (1, 2, 3, 4)]) / self.n
        return self.powers / self.n


def powers_of(away: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = away * away
    return np.array([away.sum(), squares.sum(), squares @ away, squares @ squares])


def shapes(folder: Path) -> dict[str, Shape]:
    """Of every matrix of a layer that is a projection, 'layer 3 q', by layer.

    Raises: InvalidCheckpoint if a folder cannot be read, or naming the matrix if a weight is NaN or infinite.
    """
    config, by_layer = configuration(folder), {}
    for stored in tensors(folder).values():
        cut = layout(stored, config)
        if cut.layer is not None:
            for projection, tally in tallies(stored, cut).items():
                by_layer[cut.layer, f"layer {cut.layer} {projection}"] = shape_of(tally, stored)
    return {name: by_layer[layer, name] for layer, name in sorted(by_layer, key=lambda key: key[0])}


def tallies(stored: Tensor, cut: Layout) -> dict[str, Tally]:
    """By projection, of which a tensor may hold several; empty for norms and biases."""
    by_tensor = {str(name): Tally(stored.dtype) for name, _ in cut.parts if name is not None}
    for first, weights in pieces(stored, cut) if by_tensor else ():
        if len(cut.parts) == 1:
            by_tensor[str(cut.parts[0][0])].add(weights)
            continue
        by_segment = weights.reshape(-1, cut.segment)
        groups = cut.groups(first, first + len(by_segment))
        for name, parts_values in parts(cut):
            by_tensor[str(name)].add(by_segment[np.isin(groups, parts_values)].ravel())
    return by_tensor


def pieces(stored: Tensor, cut: Layout) -> Iterator[tuple[int, NDArray[Any]]]:
    """Whole segments, as `Tally.add` takes them, with the number of the first; each is overwritten by the next."""
    step = max(1, PIECE // cut.segment) * cut.segment
    size = math.prod(stored.shape)
    room = np.empty((1, 0 if stored.dtype == "BF16" else min(step, size)), np.float32)
    for first in range(0, size, step):
        raw = elements(stored, first, min(first + step, size))
        if stored.dtype != "BF16":
            decode(raw, room[:, : len(raw)], stored.dtype)
            raw = room[0, : len(raw)]
        yield first // cut.segment, raw


def shape_of(tally: Tally, stored: Tensor) -> Shape:
    values, counts = tally.in_order()
    first, second, third, fourth = tally.moments(values, counts)
    variance = second - first**2
    if not np.isfinite(fourth):
        raise InvalidCheckpoint(
            f"{stored.name} in {stored.path} holds weights that are NaN or infinite: train it again.", code="not-finite"
        )
    if variance <= 0:
        return Shape(std=0.0, mean=np.nan, kurtosis=np.nan, ks=np.nan, qq=np.nan, outliers=np.nan)
    mean, std = tally.centre + first, variance**0.5
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    shares = counts / tally.n
    edges = ndtr(((values[:-1] + values[1:]) / 2 - mean) / std)
    return Shape(
        std=float(std),
        mean=float(mean / std),
        kurtosis=float(central / variance**2 - 3),
        ks=float(np.abs(np.cumsum(shares)[:-1] - edges).max(initial=0)),
        qq=quantile_correlation(values, shares),
        outliers=float(shares[np.abs(values - mean) > FAR * std].sum()),
    )


def quantile_correlation(values: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Of the weights with the Gaussian quantiles of their ranks; over a bucket these average to a closed form."""
    ends = np.concatenate([[-np.inf], ndtri(np.cumsum(shares)[:-1]), [np.inf]])
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    away = values - shares @ values
    return float(away @ (density[:-1] - density[1:]) / np.sqrt(shares @ away**2))
