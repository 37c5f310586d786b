"""What a run came to: its rows, its exit code and its reports, however it was started."""

import html
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from depthgauge.core.claim import Stage
from depthgauge.core.errors import HarnessError
from depthgauge.core.outside import check_outside
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.history.gated_runs import FILE, check_history
from depthgauge.report.folder import OPTION, PART, report_folder
from depthgauge.report.github import annotations
from depthgauge.report.headline import About, Headline, headline_of
from depthgauge.report.outcome import ACCEPTED_EXIT, Problem, adjusted, exit_code, html_table, problem_of, word
from depthgauge.report.terminal import claims_table, columns
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.session import Session
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, NOT_A_PLACE, check_writable, usable


@dataclass(frozen=True, kw_only=True)
class Result:
    """The rows with their p adjusted for all of them, in the order of the claims; what kept claims from being judged;
    the names of the claims that were not run; the exit code of the command; and the pages that were written.

    `headline` says what happened in one sentence. `note` is said in its place where only a plan was asked for. `notes`
    are about the files that were judged, and no faults.
    """

    rows: tuple[ClaimResult, ...] = ()
    problems: tuple[Problem, ...] = ()
    not_run: tuple[str, ...] = ()
    exit_code: int = 0
    reports: tuple[Path, ...] = ()
    headline: Headline | None = None
    note: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        return f"<p><strong>{html.escape(str(self.headline or self.note))}</strong></p>" + html_table(
            self.rows, self.problems
        )


def refusal(error: HarnessError, name: str = "") -> Result:
    """The result of a run that an error ended before it judged anything."""
    problem = problem_of(error, f"{name}: " if name else "")
    headline = headline_of((), (problem,), error.exit_code, About(title=name))
    return Result(problems=(problem,), exit_code=error.exit_code, headline=headline)


def lines_of(
    result: Result, *, annotated: bool = False, width: int | None = None, colour: bool = False
) -> Iterator[str]:
    """What a terminal shows in the end: what happened, the required claims, and where to read on. `annotated` for a job
    on GitHub.
    """
    if result.note:
        yield result.note
        return
    yield str(result.headline)
    required = [row for row in result.rows if row.required]
    if required:
        yield claims_table(required, width or columns(), colour=colour)
    informational = [row for row in result.rows if not row.required]
    for what, blind in (("could not be tested", True), ("informational", False)):
        if names := [row.claim for row in informational if (row.outcome is Outcome.NOT_TESTABLE) is blind]:
            yield f"{what}, see the report: {', '.join(names)}"
    said = result.headline is not None and not result.headline.claim and len(result.problems) == 1
    for problem in result.problems:
        yield from () if said else (f"not judged: {problem.message}",)
        yield from problem.details.splitlines()
    for note in result.notes:
        yield f"note: {note}"
    if result.not_run:
        yield f"not run: {len(result.not_run)} claims of later stages (--all-stages runs them)"
    if annotated:
        yield from annotations(result.rows, result.problems)
    pages = ", ".join(map(str, result.reports))
    yield f"{word(result.exit_code)}, exit {result.exit_code}{f': {pages}' if pages else ''}"


@dataclass(kw_only=True)
class Findings:
    """What a run gathers while it goes on. `limits` are the options that leave claims out; `equal` says that the two
    checkpoints are the same, so that nothing had to be judged.
    """

    rows: list[ClaimResult] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    not_run: list[tuple[int, str]] = field(default_factory=list)  # the index of each among all claims, and its name
    limits: tuple[str, ...] = ()
    equal: str = ""
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
    code = code_of(session, findings, rows, problems, status)
    result = Result(
        rows=tuple(rows),
        problems=problems,
        not_run=tuple(name for _, name in sorted(findings.not_run)),
        exit_code=code,
        notes=notes_of(session),
        headline=headline_of(rows, problems, code, about(session, findings, ", ".join(session.judged))),
    )
    try:
        pages = tuple(written(session, result, findings, status, judged))
        return replace(result, reports=pages, notes=(*result.notes, *filter(None, map(lies_beside, pages))))
    except HarnessError as error:
        problem = problem_of(error)
        code = code_of(session, findings, rows, (*problems, problem), status)
        headline = headline_of(rows, (problem,), code, about(session, findings, ", ".join(session.judged)))
        return replace(result, problems=(*problems, problem), exit_code=code, headline=headline)


def lies_beside(page: Path) -> str:
    """A sentence on a report of a part of the claims; nothing of any other."""
    whole = page.parent.with_name(page.parent.name.removesuffix(PART))
    return f"{whole} keeps its report of other claims; this run's lies beside it" if whole != page.parent else ""


def notes_of(session: Session) -> tuple[str, ...]:
    with suppress(HarnessError):  # a folder that cannot be read is a problem already
        return session.notes
    return ()


def report_refusal(session: Session, error: HarnessError, judged: Path | None) -> None:
    """Write the reports of a session that is refused before anything is judged: a gate shows why it is closed."""
    conclude(session, Findings(problems=[problem_of(error)]), judged=judged)


def code_of(
    session: Session, findings: Findings, rows: Sequence[ClaimResult], problems: Sequence[Problem], status: int
) -> int:
    """The exit code; two checkpoints that are the same are accepted without a row."""
    if findings.equal and not rows and not problems and status <= 1:
        return ACCEPTED_EXIT
    return exit_code(rows, problems, status, inconclusive_fails=session.inconclusive_fails)


def about(session: Session, findings: Findings, name: str) -> About:
    not_run = [title for _, title in sorted(findings.not_run)]
    return About(title=session.title(name), equal=findings.equal, limits=limits_of(session, findings), not_run=not_run)


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
        if not (rows or problems or findings.equal):
            continue
        folder = report_folder(session.reports, name, judged)
        code = code_of(session, findings, rows, problems, status if status > 1 else 0)
        headline = headline_of(rows, problems, code, about(session, findings, name))
        with usable(session.reports, "--report-dir", NO_SPACE | FORBIDDEN):
            page = write_report(folder, name, rows, problems, run, code, str(headline))
        yield page


def check_reports(session: Session, judged: Path | None) -> None:
    """Raises: UsageError if what is judged can have no report where reports go, before anything is measured."""
    if session.reports is None:
        return
    with usable(session.reports, OPTION, NOT_A_PLACE):
        check_outside(session.reports, OPTION)
        check_history(session.reports / FILE)
        for name in session.judged:
            report_folder(session.reports, name, judged).check()
    check_writable(session.reports, OPTION)


def limits_of(session: Session, findings: Findings) -> tuple[str, ...]:
    if isinstance(session, ComparisonSession) and session.last_stage is not max(Stage):
        return (*findings.limits, f"--last-stage={session.last_stage.name.lower()}")
    return findings.limits


def blocks(rows: Sequence[ClaimResult]) -> bool:
    """Whether the stage that these rows are of ends a run."""
    return any(row.fails for row in rows)
