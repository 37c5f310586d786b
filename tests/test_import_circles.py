"""No module of the four packages imports, by way of others, itself: in functions and for types neither."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGES = (
    "harness/depthgauge",
    "methods/depthgauge_methods",
    "suites/depthgauge_suites",
    "testbeds/depthgauge_testbeds",
)


def modules_in(root: Path) -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for file in (root / package).rglob("*.py"):
            parts = file.relative_to((root / package).parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(tree: ast.AST, modules: dict[str, Path]) -> set[str]:
    """The modules of ours that a file names, anywhere in it: of `from package import name`, the module `name` where it
    is one, and else the package.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in names}
    return found & modules.keys()


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """A circle of imports, its first module once more at its end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def modules():
    return modules_in(ROOT)


@pytest.fixture(scope="module")
def graph(modules):
    return {name: imports_of(ast.parse(file.read_text()), modules) - {name} for name, file in modules.items()}


def test_no_imports_go_round_in_a_circle(graph):
    assert len(graph) > 300 and sum(map(len, graph.values())) > 1000
    assert circle_in(graph) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from depthgauge.probes.sinks.probe import Sinks\n",
        "def late():\n    from depthgauge.probes.sinks import probe\n",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import depthgauge.probes.sinks.probe\n",
    ],
    ids=["at the top", "in a function", "for types"],
)
def test_a_planted_circle_is_seen(planted, modules, graph):
    compute = "depthgauge.probes.sinks.compute"
    text = f"{modules[compute].read_text()}\n{planted}"

    circle = circle_in(graph | {compute: imports_of(ast.parse(text), modules)})

    assert set(circle) == {compute, "depthgauge.probes.sinks.probe"}
