"""A report.json, read again: for whatever shows verdicts elsewhere."""

import json
from pathlib import Path
from typing import NamedTuple

from depthgauge.core.errors import UsageError
from depthgauge.core.result import ClaimResult, claim_result_from_plain


class ReportVerdicts(NamedTuple):
    """The verdicts of a report, and the exit code of its run."""

    rows: list[ClaimResult]
    exit_code: int


def read(report: Path) -> ReportVerdicts:
    """Raises: UsageError if it is no report.json of this version, or has no verdicts."""
    try:
        record = json.loads(report.read_text(encoding="utf-8"))
        told = ReportVerdicts([claim_result_from_plain(row) for row in record["verdicts"]], int(record["exit_code"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{report} is no report.json of this version of depthgauge ({error}): judge again.") from error
    if not told.rows:
        raise UsageError(f"{report} has no verdicts, so there is nothing to show elsewhere.")
    return told
