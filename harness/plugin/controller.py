"""The process that owns the terminal: it gathers rows, writes the reports, and sets the exit code."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from depthgauge.change import ChangeSession
from depthgauge.errors import HarnessError
from depthgauge.plugin.claims import ERROR, NOT_RUN, ROW, told
from depthgauge.plugin.collection import CLAIM
from depthgauge.plugin.state import State
from depthgauge.plugin.tiers import ALL, note
from depthgauge.progress import Follower
from depthgauge.report.github import annotations
from depthgauge.report.outcome import Problem, adjusted, exit_code, meaning, verdict_table
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable
from depthgauge.types import Row, Tier, row_from_plain


class Controller:
    """Does nothing until a claim was judged, but for showing the workers' progress."""

    def __init__(self, config: pytest.Config, state: State) -> None:
        self.config = config
        self.state = state
        self.began = time.time()
        self.rows: list[Row] = []
        self.errors: list[Problem] = []
        self.not_run: list[tuple[int, str]] = []  # where each stands among all, and its name
        self.failed = 0
        self.reports: list[Path] = []
        self.exit_code = 0
        self.follower: Follower | None = None

    def pytest_sessionstart(self) -> None:
        workers = bool(self.config.getoption("numprocesses", None))
        if self.state.awake and (workers or self.state.engine is not None) and not self.config.option.collectonly:
            self.follower = Follower(self.state.progress_file, self.state.tell)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = told(report)
        row = row_from_plain(properties[ROW]) if ROW in properties else None
        if row is not None:
            self.rows.append(row)
        if report.when == "call" or not report.passed:
            self.note(report, row)
        if NOT_RUN in properties:
            self.not_run.append(tuple(properties[NOT_RUN]))
        if ERROR in properties:
            self.errors.append(Problem(**properties[ERROR]))
        elif report.failed and row is None and CLAIM in dict(report.user_properties):
            *_, last = str(report.longrepr).strip().splitlines() or ["no reason given"]
            self.errors.append(Problem(exit_code=1, message=f"{report.nodeid} broke off: {last.strip()}"))

    def note(self, report: pytest.TestReport, row: Row | None) -> None:
        """Tell the workers what is over: see `plugin.tiers`."""
        if not self.state.awake or not isinstance(self.state.session, ChangeSession):
            return
        note(self.state.over_file, report.nodeid, blocks=row is not None and row.fails)
        self.failed += report.failed
        if 0 < (self.config.option.maxfail or 0) <= self.failed:
            note(self.state.over_file, ALL)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        if self.follower is not None:
            self.follower.stop()
        if self.rows or self.errors:
            self.state.over_file.unlink(missing_ok=True)
            by_subject = (
                [row for row in self.rows if row.method == name] for name in {row.method for row in self.rows}
            )
            together = [row for rows in by_subject for row in adjusted(rows)]  # as they stand in one report
            self.rows = sorted(together, key=lambda row: row.place)
            try:
                self._write_reports(int(exitstatus))
            except HarnessError as error:
                self.errors.append(Problem(exit_code=error.exit_code, message=str(error)))
            session.exitstatus = self.exit_code = self._exit(self.rows, self.errors, int(exitstatus))
        return (yield)

    @property
    def names_not_run(self) -> tuple[str, ...]:
        """In the order of the claims, whichever worker passed them over."""
        return tuple(name for _, name in sorted(self.not_run))

    def _exit(self, rows: Sequence[Row], problems: Sequence[Problem], status: int) -> int:
        return exit_code(rows, problems, status, open_fails=self.state.session.open_fails)

    @property
    def limits(self) -> tuple[str, ...]:
        """The options of the command line that left claims out."""
        option, session = self.config.option, self.state.session
        chosen = {"-k": option.keyword, "--deselect": " ".join(option.deselect or ())}
        found = [f"{name} {value}" for name, value in chosen.items() if value]
        if isinstance(session, ChangeSession) and session.last_tier is not max(Tier):
            found.append(f"--last-tier={session.last_tier.name.lower()}")
        return tuple(found)

    def _write_reports(self, status: int) -> None:
        """Write a report for each that was judged. A status above 1 is that of a run that pytest did not finish."""
        from depthgauge.report.folder import report_folder
        from depthgauge.report.write import Run, write_report

        session = self.state.session
        run = Run(
            session=session, started=self.began, elapsed_s=time.time() - self.began, limits=self.limits,
            not_run=self.names_not_run,
        )  # fmt: skip
        problems = sorted(set(self.errors), key=lambda problem: problem.message)
        for name in dict.fromkeys([*session.judged, *(row.method for row in self.rows)]):
            rows = [row for row in self.rows if row.method == name]
            if not (rows or problems):
                continue
            folder = report_folder(session.reports, name, self.state.given.checkpoint)
            code = self._exit(rows, problems, status if status > 1 else 0)
            with usable(session.reports, "--report-dir", NO_SPACE | FORBIDDEN):
                write_report(folder, name, rows, problems, run, code)
            self.reports.append(folder.path / "report.md")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.rows and not self.errors:
            return
        code = self.exit_code
        terminalreporter.section("claims")
        if self.rows:
            terminalreporter.write_line(verdict_table(self.rows))
        for problem in dict.fromkeys(self.errors):
            terminalreporter.write_line(f"invalid: {problem.message}")
        if self.not_run:
            terminalreporter.write_line(f"not run, as a tier before blocked: {', '.join(self.names_not_run)}")
        for path in self.reports:
            terminalreporter.write_line(f"report: {path}")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in annotations(self.rows, list(dict.fromkeys(self.errors))):
                terminalreporter.write_line(line)
        terminalreporter.write_line(f"exit {code}: {meaning(code, self.rows)}")
