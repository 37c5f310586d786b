"""The verdicts of a report in an experiment tracker: a table of them, and each claim's figure to follow over runs."""

from importlib import import_module
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.report.read import ReportVerdicts, read

TRACKERS = ("trackio", "wandb")
COLUMNS = ("claim", "verdict", "estimate", "low", "high", "unit", "region", "control", "statement")


def track(report: Path, tracker: str, project: str) -> None:
    """Log a run named as what was judged; where the tracker keeps it is for the tracker's own settings to say.

    Raises: as `read`; UsageError if the tracker is not installed, or refuses.
    """
    verdicts = read(report)
    try:
        service: Any = import_module(tracker)
    except ImportError as error:
        raise UsageError(
            f"{tracker} is not installed ({error}): pip install {tracker}, or choose another --to.",
            code="not-installed",
        ) from error
    try:
        service.init(project=project, name=verdicts.rows[0].method, config={"exit_code": verdicts.exit_code})
        service.log(figures(verdicts) | {"verdicts": service.Table(columns=list(COLUMNS), data=table(verdicts))})
        service.finish()
    except Exception as error:  # a tracker's own, as where nobody is logged in
        raise UsageError(f"{tracker} does not take the verdicts: {type(error).__name__}: {error}.") from error


def figures(verdicts: ReportVerdicts) -> dict[str, float]:
    """Each claim's estimate, by the claim's name."""
    return {row.claim: row.estimate.point for row in verdicts.rows if row.estimate is not None}


def table(verdicts: ReportVerdicts) -> list[list[Any]]:
    rows = []
    for row in verdicts.rows:
        estimate = row.estimate
        numbers = (
            [None, None, None, ""] if estimate is None else [estimate.point, estimate.low, estimate.high, estimate.unit]
        )
        outcomes = (row.region, row.control_outcome.value, row.statement)
        rows.append([row.claim, row.outcome.value, *numbers, *outcomes])
    return rows
