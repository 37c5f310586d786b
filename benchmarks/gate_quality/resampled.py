"""Other prompts and items that might have been asked: those of a pair, drawn again with replacement.

Nothing is measured anew: the claims' statistics are given the stored numbers of the units that were drawn, the same on
both sides.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from depthgauge.core.estimate import Profiles, Scores
from depthgauge.history.catalogue import suites_in
from depthgauge.stats import sequential_difference

RESAMPLED = "prompts-resampled"
OF_EACH = 21  # resamples of one pair
STATISTICS = ("paired_difference", "share", "share_beyond", "share_beyond_anywhere", "share_changed")


@contextmanager
def resampled(draw: np.random.Generator) -> Iterator[None]:
    """The statistics that the suite of change calls take drawn units."""

    def sequential(looks: Any, **options: Any) -> Any:
        return sequential_difference(drawn_looks(looks, draw), **options)

    with ExitStack() as stack:
        for module in suites_in("depthgauge.checks"):
            found = {name: on_drawn_units(getattr(module, name), draw) for name in STATISTICS if hasattr(module, name)}
            if hasattr(module, "sequential_difference"):
                found["sequential_difference"] = sequential
            if found:
                stack.enter_context(patch.multiple(module, **found))
        yield


def on_drawn_units(statistic: Callable[..., Any], draw: np.random.Generator) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        n = len(arguments[0].ids)
        places = draw.integers(n, size=n)
        sides = (at(one, places) if isinstance(one, Scores | Profiles) else one for one in arguments)
        return statistic(*sides, **options)

    return wrapper


def drawn_looks(looks: Any, draw: np.random.Generator) -> Iterator[tuple[Scores, Scores]]:
    """Each look keeps what was drawn for the one before it, as a task goes on."""
    places = np.empty(0, int)
    for one, other in looks:
        before, n = len(places), len(one.ids)
        places = np.concatenate([places, draw.integers(before, n, size=n - before)])
        yield at(one, places), at(other, places)


def at(one: Any, places: np.ndarray) -> Any:
    return replace(
        one, ids=tuple(f"{i} {one.ids[place]}" for i, place in enumerate(places)), values=one.values[:, places]
    )
