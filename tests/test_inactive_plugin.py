"""In a project of somebody else's, where nothing is a claim: the plugin takes no name and does nothing."""

import os
import subprocess
import sys

import pytest

from tests.processes import refusal


@pytest.fixture
def project(tmp_path):
    """Run pytest in a project of some files, as its owner would."""

    def run(*options, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-v", *options]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    return run


OWN_FIXTURES = """
import sys
import pytest

@pytest.fixture
def candidate():
    return "mine"

@pytest.fixture
def base(candidate):
    return f"{candidate} too"

@pytest.mark.parametrize("task", [1, 2])
def test_own_names(candidate, base, task):
    assert (candidate, base) == ("mine", "mine too")

def test_nothing_is_awake():
    from depthgauge.core.registry import METHODS, PROBES, TESTBEDS
    assert len(METHODS) == len(TESTBEDS) == len(PROBES) == 0
    assert "torch" not in sys.modules
"""


def test_without_claims_nothing_is_registered_and_a_users_fixtures_are_their_own(project, tmp_path):
    done = project(test_own=OWN_FIXTURES)

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert "depthgauge:" not in done.stdout and "exit 0" not in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"test_own.py", "pytest.ini", ".pytest_cache", "__pycache__"}


def test_asleep_it_is_silent_with_workers_too(project, tmp_path):
    done = project("-n2", test_own=OWN_FIXTURES)

    assert done.returncode == 0, done.stdout
    assert not (tmp_path / ".depthgauge").exists()


THEIR_OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--device", default="toaster", help="of the kitchen")
    parser.addoption("--store", action="store_true", help="of groceries")
"""
THEIR_TEST = """
def test_theirs(request):
    assert request.config.getoption("--device") == "kettle"
    assert request.config.getoption("--store") is {flag}
"""


@pytest.mark.parametrize("by, options", [("conftest", []), ("their_plugin", ["-p", "their_plugin"])])
def test_options_of_the_same_name_in_a_conftest_or_another_plugin_are_theirs(project, by, options):
    files = {by: THEIR_OPTIONS, "test_theirs": THEIR_TEST.format(flag=False)}
    theirs = project(*options, "--device=kettle", **files)
    ours = project(*options, "--depthgauge-device=tpu", **files)

    assert theirs.returncode == 0, theirs.stdout + theirs.stderr
    assert "1 passed" in theirs.stdout
    assert ours.returncode == 4
    assert "unknown device 'tpu': choose auto, cpu or cuda" in refusal(ours)


@pytest.mark.parametrize("arguments", [["--store"], ["--store", "test_theirs.py"]])
def test_a_flag_of_the_same_name_takes_no_value(project, arguments):
    """Options are read a first time before a conftest has declared its own."""
    done = project("--device=kettle", *arguments, conftest=THEIR_OPTIONS, test_theirs=THEIR_TEST.format(flag=True))

    assert done.returncode == 0, done.stdout + done.stderr
