"""The study: `python -m benchmarks.study [--minutes M] [--cells PREFIX]`, or `make study`.

Runs the cells of docs/study-plan.md that have no file in reports/study/cells, in the plan's order, and writes each
when it is measured: it goes on where it was stopped, a training too. reports/study/cells.csv and README.md are made
anew of all that is there after each. `--minutes` begins no cell after so many, `--cells` runs those whose names begin
so; `--tables` makes the tables alone.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.study.measures import measured
from benchmarks.study.page import write_tables
from benchmarks.study.plan import BASE, Cell, cell_testbed, cells
from depthgauge import METHODS, Method
from depthgauge.core.errors import HarnessError
from depthgauge.core.installed import versions
from depthgauge.core.registry import TESTBEDS, load_entry_points
from depthgauge.measure.context import RunContext
from depthgauge.measure.training import recipe_of, train_in
from depthgauge.models.load import prepare_libraries
from depthgauge.store.folders import Store, write_atomically

REPORTS = Path(__file__).parents[2] / "reports" / "study"


def method_of(cell: Cell) -> Method:
    """The method, whose unhealthy checkpoints are kept: what the study looks for is a sickness."""
    method = METHODS[cell.method]
    return replace(method, settings=replace(method.settings, gated=False))


def run(cell: Cell, store: Store) -> dict[str, Any]:
    """Train, unless the store has it, and measure. A training that fails is a result of one sentence."""
    method, testbed = method_of(cell), cell_testbed(cell)
    context = RunContext(testbed=testbed, store=store, tell=partial(print, flush=True))
    began = time.process_time()
    try:
        recipe = recipe_of(method, testbed, cell.seed, "cpu")
        make = partial(train_in, method=method, testbed=testbed, recipe=recipe, context=context)
        folder = store.get_or_create("checkpoints", asdict(recipe), make, resume=True)
        trained = time.process_time()
        log = json.loads((folder / "training_log.json").read_text())
        found = measured(folder, testbed, cell.measures)
    except HarnessError as error:
        return {"cell": cell.plain(), "failed": str(error)}
    return {
        "cell": cell.plain(),
        "versions": versions(method.requires),
        "training_s": round(trained - began, 1),  # of the processor, in this process: less where it was resumed
        "measuring_s": round(time.process_time() - trained, 1),
        "log": {name: [short(row[name]) for row in log if name in row] for name in {key for row in log for key in row}},
        **found,
    }


def short(number: float) -> float:
    return float(f"{number:.5g}")


def base(testbed: str) -> dict[str, Any]:
    """The same of the base itself, which a collapse is compared with."""
    chosen = TESTBEDS[testbed]
    assert isinstance(chosen.base, Path)
    return {"cell": {"phase": "base", "testbed": testbed, "method": "base_model", "seed": 0}} | measured(
        chosen.base, chosen, "all"
    )


def results(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def write(folder: Path, name: str, found: dict[str, Any]) -> None:
    write_atomically(folder / f"{name}.json", json.dumps(found, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make study", description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--cells", default="")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--store", type=Path, default=Path(".depthgauge/study"))
    asked = parser.parse_args()
    load_entry_points()
    prepare_libraries(1)
    folder = REPORTS / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(cell.name.startswith(asked.cells) for cell in cells(results(folder))):
        parser.error(f"no cell of the plan has a name that begins with {asked.cells!r}: docs/study-plan.md lists them.")
    if not asked.tables:
        run_cells(asked, folder)
    for name, found in results(folder).items():
        if "failed" in found and name.startswith(asked.cells):
            print(f"{name} failed: {found['failed']}")
    write_tables(REPORTS, results(folder), list(cells(results(folder))))


def run_cells(asked: argparse.Namespace, folder: Path) -> None:
    store = Store(asked.store, run="study")
    began = time.monotonic()
    if not (folder / f"{BASE}.json").is_file():
        write(folder, BASE, base("pocket"))
    while time.monotonic() - began < 60 * asked.minutes:
        there = results(folder)
        left = [
            cell
            for cell in cells(there)
            if cell.name not in there and cell.name.startswith(asked.cells) and has_base(cell)
        ]
        if not left:
            return
        print(f"{len(left)} cells left; {left[0].name}", flush=True)
        write(folder, left[0].name, run(left[0], store))
        write_tables(REPORTS, results(folder), list(cells(results(folder))))


def has_base(cell: Cell) -> bool:
    """SmolLM2's weights are brought by 'make smollm2'; without them its cells stay missing."""
    at = TESTBEDS[cell.testbed].base
    return isinstance(at, Path) and at.is_dir()


if __name__ == "__main__":
    main()
