"""What a healthy training leaves: each method's checkpoint after the base, and after every sibling's."""

from itertools import permutations

from depthgauge.registry import METHODS, methods_on

SUCCESSOR = "healthy-successor"


def successors(testbed: str) -> list[tuple[str, str]]:
    """Old and new, by their methods' names, in an order that stays."""
    healthy = [name for name in methods_on(testbed) if not METHODS[name].control]
    return [(old, new) for old, new in permutations(healthy, 2) if METHODS[new].train is not None]
