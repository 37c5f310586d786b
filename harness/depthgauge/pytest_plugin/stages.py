"""The order of the checks about a change: a stage starts when the one before it is judged, and one that blocks ends the
run.

Under xdist the workers judge one stage together: what is over is noted in a file of the run by the process that owns
the terminal, and each worker waits for what comes before its own claim. Each has its claims in the order of the stages,
so that the lowest that is not over waits for nothing.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from depthgauge.core.claim import Stage
from depthgauge.pytest_plugin.collection import stage_of
from depthgauge.runs.progress import append

PAUSE_S = 0.1
ALL = "all"  # in place of a test: pytest itself ends the run, and nothing more is judged


def note(path: Path, test: str, *, blocks: bool = False) -> None:
    """Write down that a test is over, and whether its claim blocks."""
    append(path, json.dumps([test, blocks]))


def noted(path: Path) -> dict[str, bool]:
    """The tests that are over, and whether each blocks."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return dict(map(json.loads, text.rpartition("\n")[0].splitlines()))  # the last line may be half written


def ended_by(path: Path, item: pytest.Item, items: Sequence[pytest.Item]) -> Stage | None:
    """The stage below the item's that blocked, once every test below it is over; None where none did."""
    stages = {each.nodeid: stage_of(each) for each in items}
    below = {name for name, stage in stages.items() if stage < stages[item.nodeid]}
    while True:
        over = noted(path)
        if blocking := [stages[name] for name in below if over.get(name)]:
            return min(blocking)
        if below <= over.keys() or ALL in over:
            return None
        time.sleep(PAUSE_S)
