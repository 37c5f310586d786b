"""Folders of reports: each is made by this tool and bears its mark, so that nobody else's file is ever replaced.

The mark says what the report is of. That of the same checkpoint is written anew; another checkpoint of that name has a
folder of its own.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from depthgauge.core.errors import UsageError
from depthgauge.core.outside import check_outside
from depthgauge.core.plain import digest
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, NOT_A_PLACE, check_writable, usable, write_atomically

MARK = ".depthgauge-report"
TEXT = "depthgauge made this folder, and may replace or delete what is in it. The report is of:\n"
OPTION = "--report-dir"
PART = "--part"  # what the name of a folder ends in whose report is of a part of the claims


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """A folder for one report, `of` what its mark says."""

    path: Path
    of: str

    @property
    def of_part(self) -> "ReportFolder":
        """That of a report on a part of the claims, beside this one."""
        return ReportFolder(self.path.with_name(f"{self.path.name}{PART}"), self.of)

    def check(self) -> None:
        """Raises: UsageError for a folder that this tool did not make, or made for something else, and for one within
        a checkpoint's; StoreUnusable for one of ours that cannot be written any more.
        """
        check_outside(self.path, OPTION)
        there = marked(self.path)
        if there is not None and there != self.of:
            raise UsageError(
                f"{self.path} has the report of something else: choose another folder with {OPTION}.",
                code="other-report",
            )
        if there is None and not is_free(self.path):
            raise UsageError(
                f"{self.path} was not made by depthgauge (it has no file {MARK}), and is neither written into nor "
                f"deleted: move it away, or choose another folder with {OPTION}.",
                code="not-ours",
            )
        if there is not None:
            check_writable(self.path, OPTION)

    def make(self) -> Path:
        """The folder, which is there now. Raises: as `check`; StoreUnusable if it cannot be written."""
        with usable(self.path.parent, OPTION, NO_SPACE | FORBIDDEN | NOT_A_PLACE):
            self.check()
            if marked(self.path) is None:
                self.path.mkdir(parents=True, exist_ok=True)
                write_atomically(self.path / MARK, f"{TEXT}{self.of}\n")
        return self.path


def report_folder(reports: Path, name: str, checkpoint: Path | None = None) -> ReportFolder:
    """Where the report on what is called `name`, and lies in the folder `checkpoint`, goes below `reports`.

    It is NAME, or where another checkpoint's report is there already, PARENT--NAME, and so on upwards. Where `reports`
    is itself a folder for the report on that checkpoint, as each of a trajectory has one, it is that.
    """
    if checkpoint is None:
        return ReportFolder(reports / name, name)
    own = mark_of(checkpoint, reports.resolve().parent)
    if marked(reports) == own:
        return ReportFolder(reports, own)
    of = mark_of(checkpoint, reports)
    folders = [ReportFolder(reports / each, of) for each in names(name, checkpoint.resolve())]
    return next((candidate for candidate in folders if marked(candidate.path) in (None, of)), folders[-1])


def mark_of(checkpoint: Path, reports: Path) -> str:
    """The same wherever the two are moved to."""
    return digest(os.path.relpath(checkpoint.resolve(), reports.resolve()))


def check_file(path: Path, option: str, is_ours: Callable[[str], bool]) -> None:
    """Raises: UsageError, naming the option, for a file that is there and not ours by its text, and for one within a
    checkpoint's folder.
    """
    check_outside(path, option)
    if not os.path.lexists(path):
        return
    with suppress(OSError, ValueError, RecursionError):  # as of what cannot be read, or parsed
        if is_ours(path.read_text(encoding="utf-8")):
            return
    raise UsageError(
        f"{path} was not written by depthgauge, and is not replaced: give another file with {option}.", code="not-ours"
    )


def names(name: str, checkpoint: Path) -> Iterator[str]:
    yield name
    for parent in checkpoint.parents:
        if parent.name:
            name = f"{parent.name}--{name}"
            yield name


def marked(folder: Path) -> str | None:
    """What a folder's mark says that its report is of; None where there is none."""
    try:
        return (folder / MARK).read_text(encoding="utf-8").removeprefix(TEXT).strip()
    except (OSError, UnicodeDecodeError):
        return None


def is_free(path: Path) -> bool:
    """Whether there is nothing yet, or an empty folder; another process may be writing its mark."""
    if not path.is_dir():
        return not os.path.lexists(path)
    return all(child.name.startswith(f".{MARK}.") for child in path.iterdir())
