"""Shared fixtures of the package's own tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from depthgauge.core.registry import FILES
from tests.processes import ROOT
from tests.tiny import save_tiny_base

# What takes longest comes first, heavy tests and others: a worker that begins one of these at the end is waited for.
LONGEST = (
    "smollm2_real", "jobs", "science_testbed", "launch", "docs", "plugin", "unfreezing", "families", "skill_paths",
)  # fmt: skip

os.environ["DEPTHGAUGE_STRICT_REPORTS"] = "1"  # a part of a report that cannot be rendered fails its test

# For processes of pytest that tests start: these plugins import all of hypothesis and asyncio, each for a second.
os.environ["PYTEST_ADDOPTS"] = "-p no:hypothesispytest -p no:anyio"

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Models as small as these take ten times as long on two threads that others use too."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_safe_path_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line sets it for its own processes; a test that calls it here leaves it to no other test."""
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.delenv("PYTHONSAFEPATH")


@pytest.fixture(autouse=True)
def no_project_file_is_left() -> Iterator[None]:
    """Workers load the project's files that a test names; a later test's workers would load them, too."""
    before = dict(FILES)
    yield
    FILES.clear()
    FILES.update(before)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny base model."""
    return save_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for the stores and reports of a module."""
    return tmp_path_factory.mktemp("plugin")


@pytest.fixture
def depthgauge(tiny_base, place):
    """Run `pytest suites/` with options, from another folder; the outcome as a completed process.

    Without a `testbed` it is that of the method.
    """

    def run(*options, suite=ROOT / "suites", testbed="tiny", store="store", reports="reports", **environment):
        command = [sys.executable, "-m", "pytest", str(suite), "-p", "tests.tiny_plugin"]
        command += [f"--store={place / store}", f"--report-dir={place / reports}"]
        command += [f"--testbed={testbed}"] if testbed else []
        return subprocess.run(
            [*command, *map(str, options)],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"TINY_BASE": str(tiny_base), "PYTHONPATH": str(ROOT)} | environment,
        )

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
