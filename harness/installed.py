"""Which versions of the libraries are installed: part of what determines a training or a measurement."""

import importlib.metadata
from collections.abc import Iterable
from functools import cache

version = cache(importlib.metadata.version)  # reading it takes 3 ms, and every key asks for several


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions by name. Raises: PackageNotFoundError for a library that is not installed."""
    return {name: version(name) for name in packages}
