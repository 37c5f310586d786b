"""How a matrix is quantised here: five ways to a grid of 4 bits in groups of 32, and codes on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.formats.levels import Levels

Floats = NDArray[np.float32]
Hessian = NDArray[np.float64] | None
SHRINKS = np.linspace(0.5, 1, 26)
DAMPING = 0.01


class Quantised(NamedTuple):
    """A matrix (rows, columns) on its grid, as its format stores it."""

    levels: Levels
    weight: Floats


@dataclass(frozen=True)
class Grid:
    """So many bits, with a scale for each `group` of weights along a row; 0: the whole row."""

    bits: int = 4
    group: int = 32
    dtype: str = "float16"  # of the scales, as they are stored

    @property
    def last(self) -> int:
        return (1 << self.bits) - 1

    def grouped(self, weight: Floats) -> Floats:
        return weight.reshape(len(weight), -1, self.group or weight.shape[1])

    def spread(self, by_group: Floats, weight: Floats) -> Floats:
        shape = self.grouped(weight).shape
        return np.broadcast_to(by_group, shape).reshape(weight.shape).astype(np.float32)

    def symmetric(self, weight: Floats) -> tuple[Floats, Floats]:
        scale = np.abs(self.grouped(weight)).max(-1, keepdims=True) / (self.last / 2)
        return np.where(scale > 0, scale, 1).astype(np.float32), np.full_like(scale, 1 << self.bits - 1)

    def asymmetric(self, weight: Floats, shrink: float = 1.0) -> tuple[Floats, Floats]:
        groups = self.grouped(weight)
        low = shrink * np.minimum(groups.min(-1, keepdims=True), 0)
        scale = (shrink * np.maximum(groups.max(-1, keepdims=True), 0) - low) / self.last
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        return scale, np.round(-low / scale)

    def codes(self, weight: Floats, scale: Floats, zero: Floats) -> NDArray[np.intp]:
        return np.clip(np.round(self.grouped(weight) / scale) + zero, 0, self.last).astype(np.intp)

    def stored(self, weight: Floats, scale: Floats, zero: Floats, codes: NDArray[np.intp]) -> Quantised:
        """Codes that were chosen with exact scales, and stored with rounded ones, as quantisers do."""
        kept = rounded_to(scale, self.dtype)
        table = np.arange(self.last + 1, dtype=np.float32)
        levels = Levels(table, self.spread(kept, weight), self.spread(-zero * kept, weight))
        return Quantised(levels, levels.at(codes.reshape(weight.shape)))


def rounded_to(values: Floats, dtype: str) -> Floats:
    """As bfloat16 or float16 stores them."""
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    bits = values.astype(np.float32).view(np.uint32)
    return (((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


def symmetric(weight: Floats, hessian: Hessian, grid: Grid = Grid(dtype="bfloat16")) -> Quantised:
    scale, zero = grid.symmetric(weight)
    return grid.stored(weight, scale, zero, grid.codes(weight, scale, zero))


def asymmetric(weight: Floats, hessian: Hessian, grid: Grid = Grid()) -> Quantised:
    scale, zero = grid.asymmetric(weight)
    return grid.stored(weight, scale, zero, grid.codes(weight, scale, zero))


def clipped(weight: Floats, hessian: Hessian, grid: Grid = Grid()) -> Quantised:
    """The range of each group shrunk to where the squared error is least."""
    best_scale, best_zero = grid.asymmetric(weight)
    least = np.full_like(best_scale, np.inf)
    for shrink in SHRINKS:
        scale, zero = grid.asymmetric(weight, float(shrink))
        values = (grid.codes(weight, scale, zero) - zero) * scale
        error = ((values - grid.grouped(weight)) ** 2).sum(-1, keepdims=True)
        better = error < least
        least = np.where(better, error, least)
        best_scale, best_zero = np.where(better, scale, best_scale), np.where(better, zero, best_zero)
    return grid.stored(weight, best_scale, best_zero, grid.codes(weight, best_scale, best_zero))


def gptq(weight: Floats, hessian: Hessian, grid: Grid = Grid()) -> Quantised:
    """The error of each column made good in those after it (Frantar et al. 2022); rounded where nothing is known of
    what the matrix reads.
    """
    if hessian is None:
        return asymmetric(weight, None, grid)
    scale, zero = grid.asymmetric(weight)
    damped = hessian + DAMPING * np.mean(np.diag(hessian)) * np.eye(len(hessian))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, codes = weight.astype(np.float64).copy(), np.empty(weight.shape, np.intp)
    scales, zeros = grid.spread(scale, weight), grid.spread(zero, weight)
    for column in range(weight.shape[1]):
        values, s, z = left[:, column], scales[:, column], zeros[:, column]
        codes[:, column] = np.clip(np.round(values / s) + z, 0, grid.last)
        error = (values - (codes[:, column] - z) * s) / upper[column, column]
        left[:, column:] -= np.outer(error, upper[column, column:])
    return grid.stored(weight, scale, zero, codes)


def k_like(weight: Floats, hessian: Hessian, grid: Grid = Grid(), scale_bits: int = 6) -> Quantised:
    """A scale and a lowest value a group, fitted by least squares, each in few bits of the row's largest, as Q4_K has
    it for 256 weights.
    """
    groups, most = grid.grouped(weight), (1 << scale_bits) - 1
    low = np.minimum(groups.min(-1, keepdims=True), 0)
    scale = (groups.max(-1, keepdims=True) - low) / grid.last
    scale = np.where(scale > 0, scale, 1e-8)
    for _ in range(5):
        codes = np.clip(np.round((groups - low) / scale), 0, grid.last)
        mean_code, mean = codes.mean(-1, keepdims=True), groups.mean(-1, keepdims=True)
        spread_of = ((codes - mean_code) ** 2).sum(-1, keepdims=True)
        slope = ((codes - mean_code) * (groups - mean)).sum(-1, keepdims=True) / np.maximum(spread_of, 1e-12)
        scale = np.where(slope > 0, slope, scale)
        low = np.minimum(mean - scale * mean_code, 0)

    def in_few_bits(values: Floats) -> Floats:
        top = np.maximum(values.max(1, keepdims=True), 1e-8) / most
        return (np.round(values / top) * rounded_to(top.astype(np.float32), grid.dtype)).astype(np.float32)

    table = np.arange(grid.last + 1, dtype=np.float32)
    levels = Levels(table, grid.spread(in_few_bits(scale), weight), grid.spread(-in_few_bits(-low), weight))
    return Quantised(levels, levels.nearest(weight))


QUANTISERS: dict[str, Callable[[Floats, Hessian], Quantised]] = {
    "symmetric": symmetric, "asymmetric": asymmetric, "MSE-clipped": clipped, "GPTQ": gptq, "Q4_K-like": k_like,
}  # fmt: skip
