"""What a healthy training leaves: a method's checkpoint after the base, after a sibling's, and after another seed's."""

from collections.abc import Iterator
from itertools import pairwise, permutations

from depthgauge.core.registry import METHODS, methods_on

SUCCESSOR = "healthy-successor"
SEEDS, PAIRS = (0, 1, 2), 60
Trained = tuple[str, int]  # a method and its seed


def successors(testbed: str) -> list[tuple[Trained, Trained]]:
    """Pairs in an order that stays: those of the first seed, then each further seed's after an earlier one's."""
    return list(every_pair(testbed))[:PAIRS]


def every_pair(testbed: str) -> Iterator[tuple[Trained, Trained]]:
    healthy = [name for name in methods_on(testbed) if not METHODS[name].control]
    trained = [name for name in healthy if METHODS[name].train is not None]
    first = SEEDS[0]
    yield from (
        ((baseline, first), (candidate, first))
        for baseline, candidate in permutations(healthy, 2)
        if candidate in trained
    )
    for before, seed in pairwise(SEEDS):
        yield from (((baseline, before), (candidate, seed)) for baseline in healthy for candidate in trained)
    yield from (((baseline, first), (candidate, SEEDS[-1])) for baseline in trained for candidate in trained)
