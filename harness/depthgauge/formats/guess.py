"""What grid weights stand on that are stored plain: read off the weights themselves, and so a guess."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.levels import Levels, inferred
from depthgauge.formats.parts import layer_of
from depthgauge.formats.tensors import Tensor, whole

BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (256, 128, 64, 32, 16)  # after whole rows, the largest first
ROWS, LEAST_TIMES = 64, 2  # rows that are looked at; a group has so many times as many weights as levels

Guess = tuple[int, int]  # bits, and weights that share a scale


def guesses(weights: Mapping[str, Tensor]) -> dict[str, Guess]:
    """Of each matrix of a layer that stands on a grid."""
    return {
        name: guess for name, tensor in weights.items()
        if layer_of(name) is not None and len(tensor.shape) == 2 and (guess := guess_of(whole(tensor))) is not None
    }  # fmt: skip


def in_words(chosen: Mapping[str, Guess]) -> str:
    return " and ".join(f"{bits} bits in groups of {group}" for bits, group in sorted(set(chosen.values())))


def guessed(folder: Path, weights: Mapping[str, Tensor]) -> tuple[dict[str, Callable[[], Levels]], str]:
    """The levels of each matrix of a layer that stands on a grid, and the guess in words.

    Raises: NotTestable where none does.
    """
    chosen = guesses(weights)
    if not chosen:
        raise NotTestable(
            f"the weights in {folder} are stored plain, and stand on no grid of 2 to 8 bits that shows: compare the "
            "folder that the quantiser wrote."
        )
    return {name: partial(levels_of, weights[name], guess) for name, guess in chosen.items()}, in_words(chosen)


def levels_of(tensor: Tensor, guess: Guess) -> Levels:
    return inferred(whole(tensor).astype(np.float32, copy=False), *guess)


def guess_of(weight: NDArray[np.floating]) -> Guess | None:
    """The fewest bits and the largest group in which the first rows have so few different numbers."""
    first = weight[:ROWS]
    for bits, group in sizes(weight.shape[1]):
        values = np.sort(first.reshape(-1, group), axis=1)
        if int((np.diff(values, axis=1) > 0).sum(axis=1).max()) < 1 << bits:
            return bits, group
    return None


def sizes(columns: int) -> Iterator[Guess]:
    """What may be tried: a group of fewer weights than twice its levels would look as if on a grid by chance."""
    for bits in BITS:
        for group in (columns, *(size for size in GROUPS if size < columns and columns % size == 0)):
            if group >= LEAST_TIMES << bits:
                yield bits, group
