"""The study's table: a row a cell."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.study.plan import HORIZONS, Results

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
    return math.fsum(numbers) / len(numbers)  # the same in every version of Python


def table(results: Results) -> str:
    """CSV, a row a cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, found in results.items():
        flat = row(name, found)
        writer.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in flat.items()})
    return text.getvalue()
