"""The fixtures that claims take: the candidate, the baseline, a task, and every registered method and corruption
by its name.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from depthgauge.core.errors import UsageError
from depthgauge.core.registry import CORRUPTIONS, METHODS
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.runs.comparison import BASELINE, ComparisonSession
from depthgauge.runs.session import Session


def fixtures(session: Callable[[], Session]) -> ModuleType:
    """A module of fixtures, to be registered when the plugin becomes active: inactive, it takes no name in anybody's
    project. `session` is called when a claim first asks for a checkpoint.
    """

    def baseline(request: pytest.FixtureRequest) -> CheckpointSet:
        """The checkpoint of --baseline, or the pinned baseline beside it: a claim that takes it is one about change."""
        comparison = session()
        assert isinstance(comparison, ComparisonSession)
        return comparison.baseline_sets[getattr(request, "param", BASELINE)]

    module = ModuleType("depthgauge_fixtures")
    for name in (*METHODS, *CORRUPTIONS):
        setattr(module, name, method_fixture(name, session))
    for shared in (candidate, baseline, task):
        setattr(module, shared.__name__, pytest.fixture(name=shared.__name__)(shared))
    return module


def method_fixture(name: str, session: Callable[[], Session]) -> Any:
    def method() -> CheckpointSet:
        try:
            return session().checkpoint_set(name)
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)

    method.__doc__ = f"{name}: {(METHODS if name in METHODS else CORRUPTIONS)[name].summary}."
    return pytest.fixture(scope="session", name=name)(method)


def candidate(request: pytest.FixtureRequest) -> str:
    """What a claim is about; the plugin passes its checkpoints, and then those of the claim's control."""
    return str(request.param)


def task(request: pytest.FixtureRequest) -> str:
    """The name of each task that was asked for: a claim that takes it is made about every one."""
    return str(request.param)
