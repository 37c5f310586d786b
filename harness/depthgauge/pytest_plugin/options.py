"""The options of pytest, and what was given of them."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from depthgauge.core.claim import Margin
from depthgauge.core.errors import UsageError
from depthgauge.pytest_plugin import hooks
from depthgauge.pytest_plugin.roots import check_roots
from depthgauge.runs.config import OPTIONS, Option, Options, flag, with_settings

GROUP = "depthgauge"
TAKEN = pytest.StashKey[tuple[str, ...]]()  # the short names that another plugin or a conftest.py has


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long names, such as --depthgauge-device, which no other plugin has."""
    group = parser.getgroup(GROUP, "white-box regression tests for model checkpoints")
    for option in OPTIONS:
        group.addoption(long_name(option), **option.attributes, dest=destination(option.name))


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    """The short names, once every plugin and the first conftest.py files have declared theirs, which stay theirs."""
    check_roots(early_config, args)
    yield
    taken = []
    for option in OPTIONS:
        try:
            attributes = option.attributes | {"help": f"the same as {long_name(option)}"}
            parser.getgroup(f"{GROUP}, in short").addoption(option.spelled, **attributes, dest=destination(option.name))
        except (ValueError, argparse.ArgumentError):
            taken.append(option.spelled)
    early_config.stash[TAKEN] = tuple(taken)


def long_name(option: Option) -> str:
    return f"--depthgauge-{option.spelled.removeprefix('--')}"


def destination(option: str) -> str:
    return f"depthgauge_{option}"


def options_of(config: pytest.Config) -> Options:
    """What was given, with the margins of the project's conftest.py.

    Raises: UsageError for what a conftest.py gives that are no margins, and for workers of two kinds.
    """
    value = {option.name: config.getoption(destination(option.name), default=None) for option in OPTIONS}
    for name in ("executor", "dry_run"):
        if value[name] is not None and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
            raise UsageError(f"{flag(name)} and xdist's -n both say who works: leave -n out, and use --workers.")
    start = config.invocation_params.dir
    options = Options(**value, start=start, project=project_of(config), margins=margins_of(config))
    return with_settings(options) if options.any else options


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
