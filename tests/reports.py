"""A report.json as a run leaves it, for what reads one."""

import json
from pathlib import Path

from depthgauge.core.plain import to_plain
from depthgauge.core.record import ReportRecord, RunRecord


def write_report_json(path: Path, rows, *, checkpoints=None, limits=(), not_judged=(), code=0) -> Path:
    run = RunRecord(
        testbed="t", judged=("candidate",), checkpoints=checkpoints or {}, limits=tuple(limits), seeds=(0,),
        device="cpu", dtype="float32", versions={"torch": "2"}, started="2026-01-01T00:00:00+00:00", elapsed_s=1.5,
    )  # fmt: skip
    record = ReportRecord(
        run=run, verdicts=tuple(rows), not_judged=tuple(not_judged), not_run=(), exit_code=code
    )  # fmt: skip
    path.write_text(json.dumps(to_plain(record)))
    return path
