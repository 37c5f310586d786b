"""Methods and testbeds by name."""

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar

from harness.errors import UsageError
from harness.types import Method, Testbed

T = TypeVar("T", Method, Testbed)


class Registry(Generic[T]):
    """Named things of one type: refuses duplicates, and answers an unknown name with the nearest known ones."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}

    def register(self, item: T) -> T:
        """Add `item` under its name and return it.

        Raises: UsageError if the name is taken by something else; registering the same item twice is harmless.
        """
        known = self._items.get(item.name)
        if known is not None and known != item:
            raise UsageError(f"{self.noun} {item.name!r} is registered twice: {known} and {item}; rename one of them.")
        self._items[item.name] = item
        return item

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            near = difflib.get_close_matches(name, self._items, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self) or "none; import the packages that register some in the top conftest.py"
            raise UsageError(f"unknown {self.noun} {name!r}.{hint} Registered: {known}.")
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items


METHODS: Registry[Method] = Registry("method")
TESTBEDS: Registry[Testbed] = Registry("testbed")


def methods_on(testbed: str) -> list[str]:
    """The names of the methods of a testbed: its own, or, where it has none, those that name no testbed."""
    own = [name for name in METHODS if METHODS[name].testbed == testbed]
    return own or [name for name in METHODS if METHODS[name].testbed is None]
