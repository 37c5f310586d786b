"""The numbers that the codes of a quantised weight can stand for, and a weight rounded to them. No torch here."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TIE = 0.05  # of a step to either side of a tie, within which a coin decides (docs/decisions/040-twins.md)
NEAR_WHOLE = 0.02  # of a step: how far from a whole number of steps stored in few digits may be


class Levels(NamedTuple):
    """What each weight may be: `offset + scale * table[k]` for each code k.

    `table` (K,) rises, and is 0, 1, 2, ... where the steps are equal; `scale` and `offset` broadcast to the weight.
    """

    table: Floats
    scale: Floats
    offset: Floats

    def between(self, weight: Floats) -> tuple[NDArray[np.intp], Floats]:
        """The code below each weight, at most the last but one, and how far it lies towards the next, in steps.

        It is below 0 or above 1 for a weight beyond all levels, and 0 where the scale is 0.
        """
        place = np.divide(weight - self.offset, self.scale, out=np.zeros_like(weight), where=self.scale != 0)
        if np.array_equal(self.table, np.arange(len(self.table))):
            below = np.clip(np.floor(place), 0, len(self.table) - 2)
            return below.astype(np.intp), place - below
        code = np.clip(np.searchsorted(self.table, place, side="right") - 1, 0, len(self.table) - 2)
        start = self.table[code]
        return code, (place - start) / (self.table[code + 1] - start)

    def at(self, codes: NDArray[np.intp]) -> Floats:
        """What these codes stand for."""
        values: Floats = (self.offset + self.scale * self.table[codes]).astype(np.float32, copy=False)
        return values

    def steps(self, weight: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """How far the level below each weight is from the next, and whether it lies among the levels, or at most half a
        step beyond them.
        """
        below, part = self.between(weight)
        return self.at(below + 1) - self.at(below), (part >= -0.5) & (part <= 1.5)

    def nearest(self, weight: Floats) -> Floats:
        below, part = self.between(weight)
        return self.at(below + (part > 0.5))

    def by_coin(self, weight: Floats, drawn: Floats) -> Floats:
        """The nearest, but within TIE of a tie as the numbers `drawn` from 0 to 1 say: a twin of what is rounded."""
        below, part = self.between(weight)
        return self.at(below + np.where(np.abs(part - 0.5) < TIE, drawn < 0.5, part > 0.5))


def counted(bits: int, scale: NDArray[np.floating], first: NDArray[np.floating] | np.float32) -> Levels:
    """Evenly spaced: code 0 stands for `first` steps."""
    steps = scale.astype(np.float32)
    return Levels(np.arange(1 << bits, dtype=np.float32), steps, (steps * first).astype(np.float32))


def listed(table: NDArray[np.floating], scale: NDArray[np.floating]) -> Levels:
    """Numbers of a table times a scale."""
    steps = scale.astype(np.float32)
    return Levels(np.unique(table[np.isfinite(table)]).astype(np.float32) + 0.0, steps, np.zeros_like(steps))


def inferred(weight: Floats, bits: int, size: int) -> Levels:
    """Evenly spaced levels of weights that stand on them, in groups of `size` along the last axis: the largest step of
    which all differences in a group are whole numbers, from the smallest weight on.

    A group in which no step fits is taken to use all codes.
    """
    groups = weight.reshape(-1, size)
    low, range_ = groups.min(1), np.ptp(groups, axis=1)
    most = (1 << bits) - 1
    steps = np.full(len(groups), most, np.float32)
    left = np.flatnonzero(range_ > 0)
    for count in range(1, most + 1):
        place = (groups[left] - low[left, None]) * (count / range_[left, None])
        fits = np.abs(place - np.round(place)).max(1) < NEAR_WHOLE
        steps[left[fits]] = count
        left = left[~fits]
        if not len(left):
            break
    scale = np.broadcast_to((range_ / steps)[:, None], groups.shape).reshape(weight.shape)
    offset = np.broadcast_to(low[:, None], groups.shape).reshape(weight.shape)
    return Levels(np.arange(most + 1, dtype=np.float32), scale.astype(np.float32), offset.astype(np.float32))
