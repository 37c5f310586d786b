"""A whole training judged: each of its checkpoints in order against the baseline, and a page of how each claim went."""

import glob
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from depthgauge.core.errors import UsageError
from depthgauge.core.record import read_report
from depthgauge.history.gated_runs import FILE, append, check_history, gated_run
from depthgauge.models.files import ADAPTER, CONFIG
from depthgauge.report.folder import marked, report_folder
from depthgauge.report.outcome import ACCEPTED_EXIT, PRECEDENCE
from depthgauge.report.trend import write_trend

NUMBER = re.compile(r"(\d+)")
REPORTS, REPORT = "trajectory", "report.json"


def candidates_named(names: Sequence[str]) -> list[str]:
    """The checkpoints that words of the command line name, each as it is or by a pattern.

    Raises: UsageError for a pattern that means none.
    """
    return [path for name in names for path in (map(str, checkpoints_of(name)) if is_pattern(name) else [name])]


def is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not Path(name).is_dir()


def checkpoints_of(pattern: str) -> list[Path]:
    """The folders of models and adapters that a pattern means, in the order of the numbers in their paths.

    Raises: UsageError if there is none.
    """
    paths = (Path(name) for name in glob.glob(pattern))
    folders = [path for path in paths if (path / CONFIG).is_file() or (path / ADAPTER).is_file()]
    if not folders:
        raise UsageError(f"{pattern} means no folder that holds a checkpoint: write it in quotes, 'run/checkpoint-*'.")
    return sorted(folders, key=lambda path: [int(part) if part.isdigit() else part for part in NUMBER.split(str(path))])


def judge_trajectory(
    folders: Sequence[Path], reports: Path, judge: Callable[[str, Path], int]
) -> tuple[int, Path | None]:
    """Judge each checkpoint by `judge`, which writes its report into a folder of its own; the exit code of all, and
    the page, None where no run got so far as to judge a claim. What an earlier trajectory left there is deleted.

    Raises: as `ReportFolder.make`, before anything is judged.
    """
    above = Path(os.path.commonpath([folder.resolve().parent for folder in folders]))
    place = report_folder(reports, REPORTS, above / REPORTS).make()
    clear(place)
    names = [os.path.relpath(folder.resolve(), above).replace(os.sep, "--") for folder in folders]
    owns = [report_folder(place, name, folder).make() for name, folder in zip(names, folders, strict=True)]
    codes = []
    for folder, own in zip(folders, owns, strict=True):
        codes.append(judge(str(folder.resolve()), own))
        note(place / FILE, own)
    code = next((code for code in PRECEDENCE if code in codes), max(codes, default=ACCEPTED_EXIT))
    return code, write_trend(place / FILE) if (place / FILE).is_file() else None


def clear(place: Path) -> None:
    """Delete what an earlier trajectory left: its history, and the folders that it marked as its own."""
    check_history(place / FILE)
    (place / FILE).unlink(missing_ok=True)
    for child in place.iterdir():
        if marked(child) is not None and not child.is_symlink():
            shutil.rmtree(child)


def note(history: Path, reports: Path) -> None:
    """Add what the report of a checkpoint says, by the name of its reports' folder, which no other has.

    A run that ended before it judged anything has none.
    """
    if not (reports / REPORT).is_file():
        return
    record = read_report(reports / REPORT)
    if record.run.checkpoints:
        append(history, replace(gated_run(record), checkpoint=reports.name))
