"""Which distributions are installed, in which versions, and what brings one that is not."""

import importlib.metadata
from collections.abc import Iterable
from functools import cache

from depthgauge.core.errors import UsageError

# Of our own extras, what each brings: tests hold it to pyproject.toml.
EXTRAS = {"trl": "train", "lm-eval": "eval", "datasets": "eval", "zuko": "flows"}
MODEL_LIBRARIES = ("torch", "transformers")  # distributions whose versions determine what a model computes
version = cache(importlib.metadata.version)  # reading it takes 3 ms, and every key asks for several


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions by name. Raises: UsageError for a distribution that is not installed."""
    names = tuple(packages)
    check_installed(names, "this run")
    return {name: version(name) for name in names}


def check_installed(packages: Iterable[str], who: str) -> None:
    """Raises: UsageError, saying how it is installed, for the first distribution that is not; `who` needs them."""
    for name in packages:
        if not is_installed(name):
            wanted = f"'depthgauge[{EXTRAS[name]}]'" if name in EXTRAS else name
            raise UsageError(f"{who} needs {name}, which is not installed: pip install {wanted}.", code="not-installed")


def is_installed(name: str) -> bool:
    try:
        version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
