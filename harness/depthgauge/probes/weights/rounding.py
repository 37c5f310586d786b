"""Whether anything moved by more than rounding, in two folders of safetensors: the first tensor that did ends it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.formats.tensors import Tensor, decode, elements
from depthgauge.probes.weights.compute import PIECE, Pair, matched

BITS = {"F64": 53, "F32": 24, "F16": 11, "BF16": 8}  # of a significand, the hidden one among them
DTYPES = {8: "bfloat16", 11: "float16", 24: "float32", 53: "float64"}
EXPONENT = 0x7FF0_0000_0000_0000  # the bits of a float64 that hold it
SMALLEST = {11: 2.0**-24}  # distance between two numbers of float16


class Movement(NamedTuple):
    """The share of the weights of `tensor` that moved by more than rounding; None and 0 where no tensor did.

    `rounded` is how many weights before it, or in all, differ by rounding alone, to `dtype`.
    """

    tensor: str | None
    moved: float
    rounded: int
    dtype: str


def first_movement(folder: Path, base: Path) -> Movement:
    """The first tensor of which a weight moved by more than rounding to the coarser precision of both.

    A precision is that of the stored dtype, or a coarser one that all weights of the tensor lie on: bfloat16 saved
    again as float32 is bfloat16. Where both have the same, rounding explains nothing; where they differ, up to one unit
    in the last place of the coarser, in whichever direction it was rounded; and float16 has no numbers between those
    next to 0, whatever the precision of what was saved in it.

    Raises: as `weight_deltas`.
    """
    rounded, dtype = 0, ""
    for pair in matched(folder, base):
        bits = [significand_bits(stored) for stored in (pair.ours, pair.base)]
        moved, differing = count_moved(pair, bits)
        if moved:
            return Movement(pair.ours.name, moved / pair.numel, rounded, dtype)
        if differing:
            rounded, dtype = rounded + differing, DTYPES[min(bits)]
    return Movement(None, 0.0, rounded, dtype)


def significand_bits(stored: Tensor) -> int:
    """Of the coarsest precision that holds every weight of a tensor as it is."""
    used = 0
    for raw, _ in raw_pieces(stored):
        used |= int(np.bitwise_or.reduce(raw.view(f"<u{raw.itemsize}")))
    own = BITS[stored.dtype]
    return next((bits for bits in sorted(DTYPES) if bits < own and not used & ((1 << (own - bits)) - 1)), own)


def count_moved(pair: Pair, bits: list[int]) -> tuple[int, int]:
    """How many weights moved by more than rounding, and how many differ at all."""
    moved = differing = 0
    floor = SMALLEST[BITS["F16"]] if [pair.ours.dtype, pair.base.dtype].count("F16") == 1 else 0.0
    for (raw, ours), (its_raw, base) in zip(decoded(pair.ours), decoded(pair.base), strict=True):
        if raw.dtype == its_raw.dtype and pair.ours.dtype == pair.base.dtype and np.array_equal(raw, its_raw):
            continue
        distance = np.abs(ours - base)
        differing += int(np.count_nonzero(distance))
        limit = last_place(np.minimum(np.abs(ours), np.abs(base)), min(bits)) if bits[0] != bits[1] else 0
        moved += int(np.count_nonzero(distance > np.maximum(limit, floor)))
    return moved, differing


def last_place(sizes: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """The unit in the last place of numbers of these sizes, in a precision of so many significant bits."""
    powers = (sizes.view(np.int64) & EXPONENT).view(np.float64)  # the power of two below each; 0 below 0
    return np.maximum(powers * 2.0 ** (1 - bits), SMALLEST.get(bits, 0))


def decoded(stored: Tensor) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """A tensor piece by piece, as it is stored and in float64."""
    for raw, size in raw_pieces(stored):
        numbers = np.empty((1, size), dtype=np.float64 if stored.dtype == "F64" else np.float32)
        decode(raw, numbers, stored.dtype)
        yield raw, numbers[0].astype(np.float64)


def raw_pieces(stored: Tensor) -> Iterator[tuple[NDArray[Any], int]]:
    numel = int(np.prod(stored.shape, dtype=np.int64))
    for first in range(0, numel, PIECE):
        size = min(PIECE, numel - first)
        yield elements(stored, first, first + size), size
