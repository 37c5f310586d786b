"""A whole training judged: each of its checkpoints in order against the old one, and a page of how each claim went."""

import glob
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from depthgauge.errors import UsageError
from depthgauge.history import FILE, GatedRun, append, gated_run
from depthgauge.models.folder import CONFIG
from depthgauge.report.outcome import ACCEPTED_EXIT, PRECEDENCE
from depthgauge.report.trend import write_trend
from depthgauge.types import row_from_plain

NUMBER = re.compile(r"(\d+)")


def is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not Path(name).is_dir()


def checkpoints_of(pattern: str) -> list[Path]:
    """The folders that a pattern means, in the order of the numbers in their names.

    Raises: UsageError if none of them is a checkpoint.
    """
    folders = [Path(name) for name in glob.glob(pattern) if (Path(name) / CONFIG).is_file()]
    if not folders:
        raise UsageError(f"{pattern} means no folder with a {CONFIG}: write it in quotes, such as 'run/checkpoint-*'.")
    return sorted(folders, key=lambda path: [int(part) if part.isdigit() else part for part in NUMBER.split(path.name)])


def judge_trajectory(folders: Sequence[Path], reports: Path, judge: Callable[[Path], int]) -> tuple[int, Path | None]:
    """Judge each checkpoint by `judge`, which writes a report below `reports`; the exit code of all, and the page.

    The page is None where no run got so far as to judge a claim.
    """
    codes = [judge(folder) for folder in folders]
    history = reports / f"{folders[0].resolve().parent.name}-trajectory" / FILE
    history.parent.mkdir(parents=True, exist_ok=True)
    history.unlink(missing_ok=True)
    for run in runs_of(folders, reports):
        append(history, run)
    code = next((code for code in PRECEDENCE if code in codes), max(codes, default=ACCEPTED_EXIT))
    return code, write_trend(history) if history.is_file() else None


def runs_of(folders: Sequence[Path], reports: Path) -> Iterator[GatedRun]:
    """What the report of each checkpoint says; one that ended before it judged anything has none."""
    for folder in folders:
        report = reports / folder.name / "report.json"
        if report.is_file():
            record = json.loads(report.read_text(encoding="utf-8"))
            yield gated_run(record, [row_from_plain(row) for row in record["verdicts"]])
