"""Imports go down only, and suites open the depthgauge alone; seen to fail when a forbidden import is planted."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("depthgauge", "methods", "testbeds")
SUITES_MAY_OPEN = ("depthgauge", "depthgauge.stats")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path):
    """A copy of the house to plant imports in."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "base"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "room, forbidden, contract",
    [
        ("harness/claims.py", "import torch", "Claims and statistics open numpy and scipy only"),
        ("harness/store.py", "import depthgauge.subject", "Imports go down only"),
        ("harness/subject.py", "import methods.grpo", "The depthgauge knows no method and no testbed"),
        ("methods/grpo.py", "import pytest", "Only the plugin imports pytest"),
        ("harness/session.py", "import transformers", "Only models opens transformers"),
    ],
)
def test_a_planted_import_is_caught(house, room, forbidden, contract):
    clean = lint_imports(house)
    (house / room).write_text(f"{(house / room).read_text()}\n{forbidden}\n")
    planted = lint_imports(house)

    assert clean.returncode == 0, clean.stdout
    assert planted.returncode != 0
    assert any(contract in line and "BROKEN" in line for line in planted.stdout.splitlines())


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("suite", sorted((ROOT / "suites").glob("*.py")), ids=lambda path: path.stem)
def test_suites_open_the_harness_alone(suite):
    assert imported(suite) <= set(SUITES_MAY_OPEN)
