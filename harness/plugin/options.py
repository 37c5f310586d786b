"""The options of pytest, and what was given of them."""

from pathlib import Path
from typing import Any

import pytest

from depthgauge.config import OPTIONS, Options
from depthgauge.errors import UsageError
from depthgauge.plugin import hooks
from depthgauge.types import Margin


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("depthgauge", "white-box regression tests for model checkpoints")
    taken = yield_to_others(parser)
    for option in OPTIONS:
        names = (option.spelled, f"--depthgauge-{option.spelled.removeprefix('--')}")
        attributes = option.attributes
        if not option.flag and option.kind is None:
            # Options are read a first time before a conftest has declared a flag of the same name, without a value.
            attributes |= {"nargs": "?", "const": ""}
        group.addoption(*(name for name in names if name not in taken), **attributes, dest=destination(option.name))


def yield_to_others(parser: Any) -> frozenset[str]:
    """Let a plugin or conftest that declares an option of the same name have it, where argparse would end the run.

    Ours is then to be had by its long name, such as --depthgauge-device. Returns the names that are taken already.
    """
    options = getattr(parser, "optparser", None)
    for each in (options, *getattr(options, "_action_groups", ())):
        if each is not None:
            each.conflict_handler = "resolve"
    return frozenset(getattr(options, "_option_string_actions", ()))


def destination(option: str) -> str:
    return f"depthgauge_{option}"


def options_of(config: pytest.Config) -> Options:
    """What was given, with the margins of the project's conftest.py.

    Raises: UsageError for what a conftest.py gives that are no margins, and for workers of two kinds.
    """
    given = {option.name: config.getoption(destination(option.name), default=None) for option in OPTIONS}
    for name in ("executor", "plan"):
        if given[name] is not None and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
            raise UsageError(f"--{name} and xdist's -n both say who works: leave -n out, and use --workers.")
    start = config.invocation_params.dir
    return Options(**given, start=start, project=project_of(config), margins=margins_of(config))


def project_of(config: pytest.Config) -> Path:
    """The folder of pytest's settings, or else where it was started.

    Without settings pytest's own root is what the tests and the folders given to our options have in common, and may
    be far above both.
    """
    return config.rootpath if config.inipath else config.invocation_params.dir


def margins_of(config: pytest.Config) -> dict[str, Margin]:
    """What each conftest.py says by `pytest_depthgauge_margins`. Raises: UsageError for what is no margin."""
    try:
        answers: list[dict[str, Margin]] = config.hook.pytest_depthgauge_margins()
        return {claim: margin for answer in reversed(answers) for claim, margin in dict(answer).items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"pytest_depthgauge_margins: {error}.") from None
