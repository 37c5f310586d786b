"""How far a measurement is: its loops count their steps, and whoever shows progress hears of each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
Heard = Callable[[int, int], object]  # how many of how many steps are done

_LISTENERS: list[Heard] = []  # of this process, whatever thread a loop runs in


def counted(steps: Sequence[T]) -> Iterator[T]:
    """The same, each told to who listens before it begins."""
    for done, step in enumerate(steps):
        for heard in _LISTENERS:
            heard(done, len(steps))
        yield step


@contextmanager
def heard_by(listener: Heard) -> Iterator[None]:
    """Within it, the listener hears how far loops are."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)
