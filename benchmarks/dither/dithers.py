"""Four ways in which twins differ: which weights are decided by a coin, and how. Each takes `part` (how far a weight
lies from the level below it to the next, in steps) and uniform numbers, and says which weights are rounded up.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FLIPPED = 0.05  # of all weights, at random
TIE, JITTER = 0.05, 0.15  # steps to either side of a tie


def flip(part: Floats, drawn: Floats) -> NDArray[np.bool_]:
    """Rounded to the nearest, and one weight in twenty the other way."""
    return (part > 0.5) ^ ((drawn < FLIPPED) & (part > 0) & (part < 1))


def coin(part: Floats, drawn: Floats) -> NDArray[np.bool_]:
    """Within a twentieth of a step of a tie a coin decides: one weight in ten, of which half go the other way."""
    return np.where(np.abs(part - 0.5) < TIE, drawn < 0.5, part > 0.5)


def jitter(part: Floats, drawn: Floats) -> NDArray[np.bool_]:
    """Rounded to the nearest after a shift of up to .15 steps: the nearer a tie, the nearer to a coin."""
    return part + JITTER * (2 * drawn - 1) > 0.5


def stochastic(part: Floats, drawn: Floats) -> NDArray[np.bool_]:
    """Rounded up as often as a weight lies near the level above."""
    return drawn < part


DITHERS: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "flip": flip, "coin": coin, "jitter": jitter, "stochastic": stochastic,
}  # fmt: skip
