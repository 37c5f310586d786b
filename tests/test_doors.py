"""Imports go down only, no room knows another, and the harness knows none; seen to fail when a door is forced."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("harness", "methods", "testbeds", "suites", "src")
SUITES_MAY_OPEN = {"collections.abc", "depthgauge", "depthgauge.checks.claims", "depthgauge.probes", "depthgauge.stats"}
ROOMS = sorted(path.parent.name for path in (ROOT / "harness" / "probes").glob("*/__init__.py"))
LINKED = ("methods", "testbeds", "suites")  # in harness/, and no part of it
SUBJECT_LINES = 150


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "COLUMNS": "400"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_the_doors_are_kept():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.fixture
def house(tmp_path):
    """A copy of the house, its links included, to plant imports in."""
    leave = shutil.ignore_patterns("__pycache__", "base", "*.egg-info")
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, symlinks=True, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "room, forbidden, contract",
    [
        ("harness/probes/sinks/__init__.py", "depthgauge.probes.weights", "Imports go down only"),
        ("harness/probes/weights/show.py", "depthgauge.exams.tasks", "Imports go down only"),
        ("harness/subject.py", "depthgauge.probes.sinks", "Imports go down only"),
        ("harness/page/tables.py", "depthgauge.probes.sinks", "Imports go down only"),
        ("harness/session.py", "depthgauge.methods.grpo", "Imports go down only"),
        ("harness/store/folders.py", "depthgauge.subject", "Imports go down only"),
        ("harness/claims.py", "torch", "Claims and statistics open numpy and scipy only"),
        ("harness/session.py", "transformers", "Only models opens transformers"),
        ("harness/probes/weights/compute.py", "lm_eval", "Only exams opens lm-eval"),
        ("methods/grpo.py", "pytest", "Only the plugin imports pytest"),
        ("suites/test_weights.py", "depthgauge.methods.grpo", "Suites get checkpoints by fixture"),
        ("suites/test_weights.py", "torch", "Suites get checkpoints by fixture"),
    ],
)
def test_a_planted_import_is_caught(house, room, forbidden, contract):
    assert (house / "harness" / "methods").is_symlink() and (house / "src" / "depthgauge").is_symlink()
    planted_in = f"depthgauge.{room.removeprefix('harness/').removesuffix('.py').removesuffix('/__init__')}"
    chain = f"{planted_in.replace('/', '.')} -> {forbidden} "
    clean = lint_imports(house)
    (house / room).write_text(f"{(house / room).read_text()}\nimport {forbidden}\n")
    planted = lint_imports(house)

    assert chain not in clean.stdout
    assert planted.returncode != 0
    assert any(contract in line and "BROKEN" in line for line in planted.stdout.splitlines())
    assert chain in planted.stdout


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


CLAIMS = [path for folder in ("harness/checks", "suites") for path in sorted((ROOT / folder).glob("test_*.py"))]


@pytest.mark.parametrize("suite", CLAIMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_suites_open_the_public_names_the_rooms_and_the_statistics_alone(suite):
    assert imported(suite) <= SUITES_MAY_OPEN


# -- what a new probe costs: its own room, and no line elsewhere ---


def own_files() -> list[Path]:
    """The files of harness/ itself: not what is linked into it, nor the claims, which take readings from the rooms."""
    harness = ROOT / "harness"
    return [path for path in harness.rglob("*.py") if path.relative_to(harness).parts[0] not in (*LINKED, "checks")]


def names(room: str, text: str) -> bool:
    """Whether a text names a room: by its whole name, or as one of several that are imported from the rooms."""
    whole = rf"depthgauge\.probes\.{room}\b"
    several = rf"from depthgauge\.probes import (\([^)]*|[^(\n]*)\b{room}\b"
    return re.search(f"{whole}|{several}", text) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_of_the_harness_names_a_room_outside_it(room):
    """But for the order of a report: training logs come last, `report.rooms` says."""
    folder = ROOT / "harness" / "probes" / room
    found = {str(path.relative_to(ROOT)) for path in own_files() if folder not in path.parents}
    found = {path for path in found if names(room, (ROOT / path).read_text())}

    assert found <= ({"harness/report/rooms.py"} if room == "training" else set())


def test_a_file_that_names_a_room_is_seen():
    assert names("sinks", "import depthgauge.probes.sinks.compute")
    assert names("sinks", "from depthgauge.probes import attention, sinks")
    assert names("sinks", "from depthgauge.probes import (\n    attention,\n    sinks,\n)\n")
    assert not names("sinks", "from depthgauge.probes import attention\nsinks = 1")
    assert not names("noise", "depthgauge.probes.noise_trace")


def test_the_subject_stays_small():
    """It knows no probe: what grows here is growing in the wrong place."""
    assert len((ROOT / "harness" / "subject.py").read_text().splitlines()) <= SUBJECT_LINES
