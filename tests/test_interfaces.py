"""Imports go down only, no probe knows another, and the tool knows none; seen to fail when a rule is broken."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("harness", "methods", "suites", "testbeds")
HARNESS, SUITES = ROOT / "harness" / "depthgauge", ROOT / "suites" / "depthgauge_suites"
STUDIES = {f"depthgauge_suites.{folder.name}" for folder in SUITES.iterdir() if folder.is_dir()}
SUITES_MAY_OPEN = {"collections.abc", "depthgauge", "depthgauge.probes", "depthgauge.stats", *STUDIES}
PROBES = sorted(path.parent.name for path in (HARNESS / "probes").glob("*/__init__.py"))


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    paths = os.pathsep.join(str(folder / root) for root in ROOTS)
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "400"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_the_contracts_are_kept():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.fixture
def copied(tmp_path):
    """A copy of the four packages, to plant imports in."""
    leave = shutil.ignore_patterns("__pycache__", "base")
    for root in ROOTS:
        shutil.copytree(ROOT / root, tmp_path / root, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "place, forbidden, contract",
    [
        ("harness/depthgauge/probes/sinks/__init__.py", "depthgauge.probes.weights", "Probes know no other probe"),
        ("harness/depthgauge/probes/weights/report.py", "depthgauge.tasks.lm_eval_tasks", "Imports go down only"),
        ("harness/depthgauge/measure/checkpoint_set.py", "depthgauge.probes.sinks", "Imports go down only"),
        ("harness/depthgauge/page/tables.py", "depthgauge.probes.sinks", "Imports go down only"),
        ("harness/depthgauge/runs/session.py", "depthgauge_methods.grpo", "Imports go down only"),
        ("harness/depthgauge/api.py", "depthgauge_suites.articles.noise_trace", "Imports go down only"),
        ("harness/depthgauge/store/folders.py", "depthgauge.measure.checkpoint_set", "Imports go down only"),
        (
            "harness/depthgauge/core/verdict.py",
            "torch",
            "The judging rule and the statistics open numpy and scipy only",
        ),
        ("harness/depthgauge/runs/session.py", "transformers", "Only models and backends open transformers"),
        ("harness/depthgauge/probes/weights/compute.py", "lm_eval", "Only tasks open lm-eval"),
        ("harness/depthgauge/measure/training.py", "trl", "The tool trains nothing"),
        ("methods/depthgauge_methods/grpo.py", "pytest", "Only the plugin imports pytest"),
        ("harness/depthgauge/api.py", "pytest", "Only the plugin imports pytest"),
        (
            "suites/depthgauge_suites/articles/test_weights.py",
            "depthgauge_methods.grpo",
            "Suites get checkpoints by fixture",
        ),
    ],
)
def test_a_planted_import_is_caught(copied, place, forbidden, contract):
    planted_in = place.partition("/")[2].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    chain = f"{planted_in} -> {forbidden} "
    clean = lint_imports(copied)
    (copied / place).write_text(f"{(copied / place).read_text()}\nimport {forbidden}\n")
    planted = lint_imports(copied)

    assert clean.returncode == 0
    assert planted.returncode != 0
    assert any(contract in line and "BROKEN" in line for line in planted.stdout.splitlines())
    assert chain in planted.stdout


def imported(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("suite", sorted(SUITES.rglob("test_*.py")), ids=lambda path: path.stem)
def test_suites_open_the_public_names_the_probes_and_the_statistics_alone(suite):
    assert imported(suite.read_text()) <= SUITES_MAY_OPEN


def test_a_suite_that_opens_torch_is_seen():
    assert not imported("def test_it():\n    import torch") <= SUITES_MAY_OPEN


# -- what a new probe costs: its own package, and no line elsewhere ---


def names(probe: str, text: str) -> bool:
    """Whether a text names a probe: by its whole name, or as one of several that are imported from the probes."""
    whole = rf"depthgauge\.probes\.{probe}\b"
    several = rf"from depthgauge\.probes import (\([^)]*|[^(\n]*)\b{probe}\b"
    return re.search(f"{whole}|{several}", text) is not None


@pytest.mark.parametrize("probe", PROBES)
def test_no_file_of_the_tool_names_a_probe_outside_it(probe):
    """But for claims (checks), the order of a report (training logs come last, `report.sections` says), the corruption
    that finds the head that it takes away by its scores, and the command that makes twins before they are asked for.
    """
    own, checks = HARNESS / "probes" / probe, HARNESS / "checks"
    others = [path for path in HARNESS.rglob("*.py") if not {own, checks} & set(path.parents)]
    found = {str(path.relative_to(HARNESS)) for path in others if names(probe, path.read_text())}

    may = {"training": {"report/sections.py"}, "circuits": {"corruptions/attention.py"},
           "twins": {"runs/calibrate.py"}}  # fmt: skip
    assert found <= may.get(probe, set())


def test_a_file_that_names_a_probe_is_seen():
    assert names("sinks", "import depthgauge.probes.sinks.compute")
    assert names("sinks", "from depthgauge.probes import attention, sinks")
    assert names("sinks", "from depthgauge.probes import (\n    attention,\n    sinks,\n)\n")
    assert not names("sinks", "from depthgauge.probes import attention\nsinks = 1")
    assert not names("noise", "depthgauge.probes.noise_trace")
