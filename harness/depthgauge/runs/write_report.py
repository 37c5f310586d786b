"""A report on disk: report.md with its pictures, and report.json with the same rows."""

import json
import os
import platform
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from depthgauge.core.errors import HarnessError, UsageError
from depthgauge.core.installed import is_installed, versions
from depthgauge.core.plain import to_plain
from depthgauge.core.record import ReportRecord, RunRecord, is_part, read_report
from depthgauge.core.result import ClaimResult
from depthgauge.history.gated_runs import FILE, append, gated_run
from depthgauge.page.escape import escape
from depthgauge.page.section import Part, Picture, Section, Setting
from depthgauge.page.style import colours_of, write_picture
from depthgauge.report.folder import ReportFolder
from depthgauge.report.html import html_of
from depthgauge.report.markdown import claims_part, environment_part, page_of, verdicts_part
from depthgauge.report.outcome import Problem, counts
from depthgauge.report.sections import STRICT, collect, sections_of
from depthgauge.report.strip import strip_of
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.session import Session
from depthgauge.store.folders import Store, sha256, write_atomically

PNG = "picture.png"
NO_TEXT = "What would stand here quotes what models read or said: left out, as --no-text asks."
PACKAGES = ("depthgauge", "torch", "transformers", "trl", "lm-eval", "datasets", "numpy", "scipy", "pytest")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What ran, where, and for how long; the options that left claims out, and the claims that a stage before
    spared.
    """

    session: Session
    started: float
    elapsed_s: float
    limits: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()

    @property
    def record(self) -> RunRecord:
        context = self.session.context
        return RunRecord(
            testbed=context.testbed.name,
            judged=tuple(self.session.judged),
            checkpoints=self.session.checkpoints,
            limits=self.limits,
            seeds=tuple(self.session.seeds),
            device=context.placement.device,
            dtype=context.placement.dtype,
            versions=versions(filter(is_installed, PACKAGES)) | {"python": platform.python_version()},
            started=datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            elapsed_s=round(self.elapsed_s, 1),
        )


def write_report(
    reports: ReportFolder, name: str, rows: Sequence[ClaimResult], problems: Sequence[Problem], run: Run, code: int,
    headline: str,
) -> Path:  # fmt: skip
    """Write report.md and its pictures, the same as report.html, report.json, and summary.md, of the verdicts alone,
    which is also the summary of a job on GitHub; the page. Where the folder has a report that says more of the same
    checkpoints, that stays, and this one lies beside it.

    Raises: as `ReportFolder.make`.
    """
    record = ReportRecord(
        run=run.record, verdicts=tuple(rows), not_judged=tuple(problem.message for problem in problems),
        not_run=run.not_run, exit_code=code,
    )  # fmt: skip
    folder = (reports.of_part if says_less(record, reports.path) else reports).make()
    store, testbed = run.session.context.store, run.session.context.testbed
    measured = collect(rows, store, testbed, run.session.compared_with)
    colours = colours_of(entry.evidence.method for entry in measured)
    setting = Setting(testbed=testbed, colours=colours, quotes=run.session.quotes)
    whole = list(sections_of(measured, setting))
    strip = strip_of(whole) if isinstance(run.session, ComparisonSession) else None
    sections = [with_pictures(section, setting, store, folder) for section in whole]
    top = [] if strip is None else [with_pictures(strip, setting, store, folder)]
    title = run.session.title(name)
    about = escape(run.session.about)
    said = [f"{counts(rows) or 'no claim was judged'}, exit {code}.", f"{about[0].upper()}{about[1:]}.", *left_out(run)]
    page = partial(page_of, title=escape(title), headline=escape(headline, longest=None), summary=said)
    judged = bool(rows or problems)
    claims = [claims_part(rows, problems)] if judged else []
    summary = page(parts=[verdicts_part(rows, problems)] if judged else [])
    sections.append(environment_part(rows, to_plain(run.record)))
    write_atomically(folder / "report.md", page(parts=[*top, *claims, *sections]))
    write_atomically(folder / "report.json", json.dumps(to_plain(record), indent=1) + "\n")
    if record.run.checkpoints and run.session.reports is not None:
        append(run.session.reports / FILE, gated_run(record))
    write_atomically(folder / "summary.md", summary)
    html = html_of(
        title=title, code=code, headline=headline, summary=said, rows=rows, problems=problems, folder=folder,
        top=top, sections=sections,
    )  # fmt: skip
    write_atomically(folder / "report.html", html)
    append_to_step_summary(summary)
    return folder / "report.md"


def says_less(record: ReportRecord, folder: Path) -> bool:
    """Whether the report that a folder has is of the same checkpoints, and says more of them."""
    try:
        return is_part(record, read_report(folder / "report.json"))
    except UsageError:  # there is none, or one of another version
        return False


def write_refused(reports: ReportFolder, headline: str, code: int) -> Path:
    """Write the pages of a run that was refused before it had a session: what is wrong, and how to go on; its page.

    Raises: as `ReportFolder.make`.
    """
    folder = reports.make()
    name = reports.path.name
    page = page_of(title=escape(name), headline=escape(headline, longest=None), summary=[f"exit {code}."], parts=[])
    for file in ("report.md", "summary.md"):
        write_atomically(folder / file, page)
    html = html_of(
        title=name, code=code, headline=headline, summary=[f"exit {code}"], rows=(), problems=(), top=(), sections=(),
        folder=folder,
    )  # fmt: skip
    write_atomically(folder / "report.html", html)
    (folder / "report.json").unlink(missing_ok=True)  # an earlier run's: nothing was judged in this one
    append_to_step_summary(page)
    return folder / "report.md"


def left_out(run: Run) -> list[str]:
    """What was not asked for, and what was not run."""
    limits = [f"Asked in part: {escape(', '.join(run.limits))}."] if run.limits else []
    return limits + (
        [f"Not run, as an earlier stage blocked: {escape(', '.join(run.not_run))}."] if run.not_run else []
    )


def with_pictures(section: Section, setting: Setting, store: Store, folder: Path) -> Section:
    """The section, its pictures written into the folder; one that cannot be drawn is a sentence in its place, and so is
    whatever quotes where nothing may.

    A picture whose numbers, colours and code have not changed is copied from the store.
    """

    def placed(part: Part) -> Part:
        if not setting.quotes and not isinstance(part, str) and part.quotes:
            return NO_TEXT
        if not isinstance(part, Picture):
            return part
        try:
            shutil.copyfile(drawn(part, setting, store), folder / part.name)
        except HarnessError:
            raise
        except Exception as error:  # whatever a third party's drawing raises
            if os.environ.get(STRICT):
                raise
            return escape(f"{part.name} cannot be drawn: {type(error).__name__}: {error}")
        return part

    return replace(section, parts=[placed(part) for part in section.parts])


def drawn(picture: Picture, setting: Setting, store: Store) -> Path:
    """The file of a picture in the store, drawn if there is none yet."""
    description = {
        "size": list(picture.size),
        "shown": [[entry.label, entry.measurement.key, setting.colour(entry)] for entry in picture.shown],
        "depends": to_plain(picture.depends),
        "draw": function_of(picture.draw).__qualname__,
        "code": [sha256(path) for path in code_of(picture)],
    }
    return (
        store.get_or_create("pictures", description, lambda staging_dir: write_picture(staging_dir / PNG, picture))
        / PNG
    )


def code_of(picture: Picture) -> list[Path]:
    """The files that decide how a picture looks: its package's and the shared ones."""
    import depthgauge.page

    package = Path(function_of(picture.draw).__code__.co_filename)
    return [*sorted(package.parent.glob("*.py")), *sorted(Path(str(depthgauge.page.__file__)).parent.glob("*.py"))]


def function_of(draw: Any) -> Any:
    """The function below what was bound to its arguments."""
    return function_of(draw.func) if isinstance(draw, partial) else draw


def append_to_step_summary(page: str) -> None:
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        warnings.warn(f"the report is not in $GITHUB_STEP_SUMMARY, {summary}: {error.strerror}", stacklevel=2)
