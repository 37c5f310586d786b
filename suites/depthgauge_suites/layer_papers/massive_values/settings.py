"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FACTOR = 5.0  # of a layer's mean size
LONGEST = 64  # tokens of a text
DRAWS = 3  # of as many other numbers, destroyed in the massive ones' stead


def is_massive(sizes: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers of each layer are, from sizes (L, heads, D)."""
    return np.asarray(sizes > FACTOR * sizes.mean((1, 2), keepdims=True))
