"""The seeded blocks in which a task is answered, where who has seen enough asks no further."""

import numpy as np

LEAST = 50  # items of a block
SEED = 1234


def blocks_of(items: int) -> int:
    """How many blocks so many items make."""
    return max(1, items // LEAST)


def places_in(block: int, items: int) -> list[int]:
    """Which of so many items are asked in that block, in their own order; every item is in one."""
    order = np.random.default_rng(SEED).permutation(items)
    return sorted(np.array_split(order, blocks_of(items))[block].tolist())
