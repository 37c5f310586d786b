"""The study's tables: a row a cell, and how far the search for a collapse has come."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.study.plan import FACTORS, HORIZONS, STEPS, Cell, Results, Setting, collapsed, dropped, qualified
from depthgauge.page.tables import markdown
from depthgauge.store.folders import write_atomically

COLUMNS = (
    "cell", "phase", "testbed", "method", "seed", "steps", "factor", "failed", "training_s", "reward_first",
    "reward_last",
    "policy_entropy_first", "policy_entropy_last", "penalty_ratio", "relative_step", "penalty_fidelity", "collapsed_80",
    "collapsed_200", "entropy_80", "smoothed_peak_80", "loops", "bigrams_80", "science", "history", "mathematics",
    "wrong_answer", "late_deviation", "late_relative_deviation", "early_moved", "late_moved",
)  # fmt: skip


def row(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """A cell in one line: tenths of the log, and means of the rest."""
    cell, log = found["cell"], found.get("log", {})
    flat: dict[str, Any] = {"cell": name} | {key: cell.get(key) for key in COLUMNS[1:7]}
    if "failed" in found:
        return flat | {"failed": found["failed"]}
    flat["training_s"] = found.get("training_s")
    for column, key in (("reward", "reward"), ("policy_entropy", "entropy")):
        if log.get(key):
            tenth = max(1, len(log[key]) // 10)
            flat[f"{column}_first"], flat[f"{column}_last"] = mean(log[key][:tenth]), mean(log[key][-tenth:])
    for key in ("penalty_ratio", "relative_step", "penalty_fidelity"):
        if log.get(key):
            flat[key] = median(log[key])
    flat |= {f"collapsed_{horizon}": found["collapse"][str(horizon)]["share"] for horizon in HORIZONS}
    entropy = found["entropy"]
    flat |= {"entropy_80": entropy["mean_80"]} | {
        key: entropy[key] for key in ("smoothed_peak_80", "loops", "bigrams_80")
    }
    flat |= {task: mean(scores) for task, scores in found.get("tasks", {}).items() if task in COLUMNS}
    if "noise" in found:
        flat |= {"wrong_answer": found["noise"]["clean"]}
        flat |= {key: found["noise"][key] for key in ("late_deviation", "late_relative_deviation")}
    if "moved" in found:
        layers = [mean(column) for column in zip(*found["moved"].values(), strict=True)]
        sixth = max(1, len(layers) // 6)
        flat |= {"early_moved": mean(layers[:sixth]), "late_moved": mean(layers[-sixth:])}
    return flat


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def table(results: Results) -> str:
    """CSV, a row a cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, found in results.items():
        flat = row(name, found)
        writer.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in flat.items()})
    return text.getvalue()


def searched_so_far(results: Results) -> str:
    """Of each setting and horizon: how many seeds' checkpoints collapsed, of how many."""
    lines = []
    for steps in STEPS:
        for factor in FACTORS:
            for horizon in HORIZONS:
                setting = Setting(steps, factor, horizon)
                counts = [collapsed(results, name, setting) for name in ("grpo", "gradreg")]
                state = "dropped" if dropped(results, steps, factor) else "open"
                lines.append(
                    [
                        str(steps),
                        str(factor),
                        str(horizon),
                        *(f"{each.count(True)} of {len(each)}" for each in counts),
                        state,
                    ]
                )
    return markdown(["steps", "penalty, times", "horizon", "grpo collapsed", "gradreg collapsed", "setting"], lines)


def page(results: Results, planned: Sequence[Cell]) -> str:
    """How many cells of each phase there are, and where the search stands."""
    counts = []
    for phase in dict.fromkeys(cell.phase for cell in planned):
        names = [cell.name for cell in planned if cell.phase == phase]
        there = [results[name] for name in names if name in results]
        counts.append([phase, str(len(there)), str(len(names)), str(sum("failed" in one for one in there))])
    return (
        "# The study: how far it has come\n\n"
        "Made by `make study` of the files in cells/; the plan is docs/study-plan.md. Numbers of a phase that is not\n"
        "complete decide nothing.\n\n"
        f"{markdown(['phase', 'cells there', 'planned', 'failed'], counts)}\n\n"
        f"## The search for a collapse\n\n{verdict(results, planned)}\n\n{searched_so_far(results)}\n"
    )


def verdict(results: Results, planned: Sequence[Cell]) -> str:
    if any(cell.name not in results for cell in planned if cell.phase == "search"):
        return "The search is not complete."
    found = qualified(results)
    if found is None:
        return "The search is complete, and no setting qualifies."
    return (
        f"The first setting that qualifies: {found.steps} steps, {found.factor} times the penalty, "
        f"horizon {found.horizon}."
    )


def write_tables(folder: Path, results: Results, planned: Sequence[Cell]) -> None:
    write_atomically(folder / "cells.csv", table(results))
    write_atomically(folder / "README.md", page(results, planned))
