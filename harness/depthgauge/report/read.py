"""The verdicts of a report.json, for whatever shows them elsewhere."""

from pathlib import Path
from typing import NamedTuple

from depthgauge.core.errors import UsageError
from depthgauge.core.record import read_report
from depthgauge.core.result import ClaimResult


class ReportVerdicts(NamedTuple):
    """The verdicts of a report, and the exit code of its run."""

    rows: list[ClaimResult]
    exit_code: int


def read(report: Path) -> ReportVerdicts:
    """Raises: as `read_report`; UsageError if it has no verdicts."""
    record = read_report(report)
    if not record.verdicts:
        raise UsageError(f"{report} has no verdicts, so there is nothing to show elsewhere.")
    return ReportVerdicts(list(record.verdicts), record.exit_code)
