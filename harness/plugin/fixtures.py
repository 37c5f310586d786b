"""The fixtures that claims take: the subject, the old checkpoint, an exam, and every registered method and corruption
by its name.
"""

from types import ModuleType
from typing import Any

import pytest

from depthgauge.change import LAST
from depthgauge.errors import UsageError
from depthgauge.registry import CORRUPTIONS, METHODS
from depthgauge.subject import Subject


def fixtures() -> ModuleType:
    """A module of fixtures, to be registered when the plugin wakes: asleep, it takes no name in anybody's project."""
    found = ModuleType("depthgauge_fixtures")
    for name in (*METHODS, *CORRUPTIONS):
        setattr(found, name, method_fixture(name))
    for shared in (subject, old, exam):
        setattr(found, shared.__name__, pytest.fixture(name=shared.__name__)(shared))
    return found


def method_fixture(name: str) -> Any:
    def method(request: pytest.FixtureRequest) -> Subject:
        from depthgauge.plugin.state import STATE

        try:
            return request.config.stash[STATE].session.subject(name)
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)

    method.__doc__ = f"{name}: {(METHODS if name in METHODS else CORRUPTIONS)[name].summary}."
    return pytest.fixture(scope="session", name=name)(method)


def subject(request: pytest.FixtureRequest) -> str:
    """What a claim is about; the plugin passes its checkpoints, and then those of the claim's control."""
    return str(request.param)


def old(request: pytest.FixtureRequest) -> Subject:
    """The checkpoint of --against, or the anchor beside it: a claim that takes it is one about change."""
    from depthgauge.plugin.state import STATE

    olds: dict[str, Subject] = request.config.stash[STATE].session.olds  # type: ignore[attr-defined]
    return olds[getattr(request, "param", LAST)]


def exam(request: pytest.FixtureRequest) -> str:
    """The name of each exam that was asked for: a claim that takes it is made about every one."""
    return str(request.param)
