"""The verdicts of a report as a result file of lm-eval, for tools that read these: a claim where a task would stand."""

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

from depthgauge.core.estimate import Estimate
from depthgauge.core.installed import is_installed, version
from depthgauge.core.result import ClaimResult
from depthgauge.report.folder import check_file
from depthgauge.report.read import read
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable, write_atomically

WRITER = "depthgauge results"


def write_results(report: Path, path: Path) -> None:
    """Write what lm-eval's `make_table` and its readers take. A claim without an estimate has its verdict alone.

    Raises: as `read`; UsageError for a file that is there and was not written by this, and for one in a checkpoint's
    folder; StoreUnusable if it cannot be written.
    """
    check_file(path, "FILE", is_ours)
    rows = read(report).rows
    results = {
        "results": {row.claim: metrics_of(row) for row in rows},
        "group_subtasks": {row.claim: [] for row in rows},
        "configs": {row.claim: {"task": row.claim, "description": row.statement} for row in rows},
        "versions": {row.claim: "" for row in rows},
        "n-shot": {},
        "model_name": rows[0].method,
        "lm_eval_version": version("lm-eval") if is_installed("lm-eval") else "",
        "written_by": WRITER,
    }
    with usable(path.parent, "FILE", NO_SPACE | FORBIDDEN):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(results, indent=1) + "\n")


def is_ours(text: str) -> bool:
    data = json.loads(text)
    return isinstance(data, dict) and data.get("written_by") == WRITER


def metrics_of(row: ClaimResult) -> dict[str, Any]:
    """Keys are lm-eval's: a metric and its filter, of which there is none here."""
    metrics: dict[str, Any] = {"alias": row.claim, "verdict,none": str(row.outcome)}
    if row.estimate is not None:
        unit = row.estimate.unit
        metrics |= {f"{unit},none": row.estimate.point, f"{unit}_stderr,none": standard_error(row.estimate)}
    return metrics


def standard_error(estimate: Estimate) -> float:
    """That of which a normal interval would be as wide."""
    return (estimate.high - estimate.low) / (2 * NormalDist().inv_cdf(0.5 + estimate.level / 2))
