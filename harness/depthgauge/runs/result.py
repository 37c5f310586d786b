"""What a run came to: its rows, its exit code and its reports, however it was started."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from depthgauge.core.claim import Stage
from depthgauge.core.errors import HarnessError
from depthgauge.core.outside import check_outside
from depthgauge.core.result import ClaimResult
from depthgauge.history.gated_runs import FILE, check_history
from depthgauge.report.folder import OPTION, report_folder
from depthgauge.report.github import annotations
from depthgauge.report.outcome import Problem, adjusted, exit_code, html_table, meaning, verdict_table
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.session import Session
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable


@dataclass(frozen=True, kw_only=True)
class Result:
    """The rows with their p adjusted for all of them, in the order of the claims; what kept claims from being judged;
    the names of the claims that were not run; the exit code of the command; and the pages that were written.

    `note` is said where nothing had to be judged: both checkpoints are the same, or only a plan was asked for.
    """

    rows: tuple[ClaimResult, ...] = ()
    problems: tuple[Problem, ...] = ()
    not_run: tuple[str, ...] = ()
    exit_code: int = 0
    reports: tuple[Path, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        return html_table(self.rows, self.problems)


def lines_of(result: Result, *, annotated: bool = False) -> Iterator[str]:
    """What a terminal shows in the end; `annotated` for a job on GitHub."""
    if result.note:
        yield result.note
    if result.rows:
        yield verdict_table(result.rows)
    for problem in result.problems:
        yield f"invalid: {problem.message}"
    if result.not_run:
        yield f"not run, as a stage before blocked: {', '.join(result.not_run)}"
    for path in result.reports:
        yield f"report: {path}"
    if annotated:
        yield from annotations(result.rows, result.problems)
    if result.rows or result.problems:
        yield f"exit {result.exit_code}: {meaning(result.exit_code, result.rows)}"


@dataclass(kw_only=True)
class Findings:
    """What a run gathers while it goes on. `limits` are the options that leave claims out."""

    rows: list[ClaimResult] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    not_run: list[tuple[int, str]] = field(default_factory=list)  # the index of each among all claims, and its name
    limits: tuple[str, ...] = ()
    started: float = field(default_factory=time.time)

    def add(self, outcome: ClaimResult | Problem) -> None:
        if isinstance(outcome, ClaimResult):
            self.rows.append(outcome)
        else:
            self.problems.append(outcome)


def conclude(session: Session, findings: Findings, *, status: int = 0, judged: Path | None = None) -> Result:
    """The result of a session, with its reports written where it has a folder for them. `judged` is the folder of the
    checkpoint that was judged, as it was named: two checkpoints of one name have a report each.

    A `status` above 1 is that of a run that pytest did not finish; 1 says that a test failed which is no claim.
    """
    by_candidate = [
        [row for row in findings.rows if row.method == name] for name in {row.method for row in findings.rows}
    ]
    rows = sorted((row for rows in by_candidate for row in adjusted(rows)), key=lambda row: row.index)
    problems = tuple(dict.fromkeys(findings.problems))
    result = Result(
        rows=tuple(rows),
        problems=problems,
        not_run=tuple(name for _, name in sorted(findings.not_run)),
        exit_code=exit_code(rows, problems, status, inconclusive_fails=session.inconclusive_fails),
    )
    try:
        return replace(result, reports=tuple(written(session, result, findings, status, judged)))
    except HarnessError as error:
        problems = (*problems, Problem(exit_code=error.exit_code, message=str(error)))
        code = exit_code(rows, problems, status, inconclusive_fails=session.inconclusive_fails)
        return replace(result, problems=problems, exit_code=code)


def written(session: Session, result: Result, findings: Findings, status: int, judged: Path | None) -> Iterator[Path]:
    """Write a report for each that was judged; their pages. Raises: StoreUnusable if one cannot be written."""
    if session.reports is None:
        return
    from depthgauge.runs.write_report import Run, write_report  # opens jinja, which a run without claims needs not

    run = Run(
        session=session, started=findings.started, elapsed_s=time.time() - findings.started, limits=limits_of(
            session, findings
        ), not_run=result.not_run,
    )  # fmt: skip
    problems = sorted(result.problems, key=lambda problem: problem.message)
    for name in dict.fromkeys([*session.judged, *(row.method for row in result.rows)]):
        rows = [row for row in result.rows if row.method == name]
        if not (rows or problems):
            continue
        folder = report_folder(session.reports, name, judged)
        code = exit_code(rows, problems, status if status > 1 else 0, inconclusive_fails=session.inconclusive_fails)
        with usable(session.reports, "--report-dir", NO_SPACE | FORBIDDEN):
            write_report(folder, name, rows, problems, run, code)
        yield folder.path / "report.md"


def check_reports(session: Session, judged: Path | None) -> None:
    """Raises: UsageError if what is judged can have no report where reports go, before anything is measured."""
    if session.reports is None:
        return
    check_outside(session.reports, OPTION)
    check_history(session.reports / FILE)
    for name in session.judged:
        report_folder(session.reports, name, judged).check()


def limits_of(session: Session, findings: Findings) -> tuple[str, ...]:
    if isinstance(session, ComparisonSession) and session.last_stage is not max(Stage):
        return (*findings.limits, f"--last-stage={session.last_stage.name.lower()}")
    return findings.limits


def blocks(rows: Sequence[ClaimResult]) -> bool:
    """Whether the stage that these rows are of ends a run."""
    return any(row.fails for row in rows)
