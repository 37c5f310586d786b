"""Which collected claims a run judges, by the suite that they stand in.

A claim of no registered suite is always judged: whoever wrote it collected it. One of a registered suite is judged if
its suite is one of the session's, or if the command line gives its file, its test, or its suite's own folder.
"""

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from depthgauge.core.registry import SUITES, modules_of
from depthgauge.runs.session import MethodSession, Session


def is_judged(config: pytest.Config, session: Session, path: Path) -> bool:
    """Whether a run judges the claims of a file about what its session judges."""
    if not isinstance(session, MethodSession):
        return True
    file = path.resolve()
    suites = [name for name in SUITES if within(file, places_of(SUITES[name].modules))]
    if not suites or within(file, places_of(modules_of(session.suites))):
        return True
    return any(within(file, [given]) for given in given_paths(config) if is_a_suites_own(given))


def within(path: Path, places: Iterable[Path]) -> bool:
    return any(path == place or place in path.parents for place in places)


def is_a_suites_own(path: Path) -> bool:
    """Whether a path is a file of a suite, its folder, or something in it: not one that holds several suites."""
    return any(within(path, places_of(SUITES[name].modules)) for name in SUITES)


def given_paths(config: pytest.Config) -> tuple[Path, ...]:
    """The paths that the command line gives, a module's name included."""
    names = [argument.partition("::")[0] for argument in config.args]
    paths = [Path(config.invocation_params.dir, name) for name in names]
    given = [path for path in paths if path.exists()]
    modules = [name for name, path in zip(names, paths, strict=True) if not path.exists()]
    return (*(path.resolve() for path in given), *places_of(tuple(modules)))


@cache
def places_of(modules: tuple[str, ...]) -> tuple[Path, ...]:
    """The file of a module, and the folder of a package; nothing of one that is not installed."""
    return tuple(place for module in modules if (place := place_of(module)) is not None)


def place_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).resolve()
    return file.parent if spec.submodule_search_locations else file
