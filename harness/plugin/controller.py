"""The process that owns the terminal: it gathers rows, writes the reports, and sets the exit code."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depthgauge.errors import HarnessError
from depthgauge.plugin.claims import ERROR, ROW
from depthgauge.plugin.collection import CLAIM
from depthgauge.plugin.state import State
from depthgauge.progress import Follower
from depthgauge.report.outcome import EXIT_MEANINGS, Problem, exit_code, verdict_table
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable
from depthgauge.types import Row, row_from_plain


class Controller:
    """Does nothing until a claim was judged, but for showing the workers' progress."""

    def __init__(self, config: pytest.Config, state: State) -> None:
        self.config = config
        self.state = state
        self.began = time.time()
        self.rows: list[Row] = []
        self.errors: list[Problem] = []
        self.reports: list[Path] = []
        self.exit_code = 0
        self.follower: Follower | None = None

    def pytest_sessionstart(self) -> None:
        workers = bool(self.config.getoption("numprocesses", None))
        if self.state.awake and workers and not self.config.option.collectonly:
            self.follower = Follower(self.state.progress_file, self.state.tell)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: dict[str, Any] = dict(report.user_properties)
        if report.when == "call" and ROW in properties:
            self.rows.append(row_from_plain(properties[ROW]))
        if report.when == "call" and ERROR in properties:
            self.errors.append(Problem(**properties[ERROR]))
        elif report.failed and CLAIM in properties and ROW not in properties:
            *_, last = str(report.longrepr).strip().splitlines() or ["no reason given"]
            self.errors.append(Problem(exit_code=1, message=f"{report.nodeid} broke off: {last.strip()}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        if self.follower is not None:
            self.follower.stop()
        if self.rows or self.errors:
            self.rows.sort(key=lambda row: row.place)
            try:
                self._write_reports()
            except HarnessError as error:
                self.errors.append(Problem(exit_code=error.exit_code, message=str(error)))
            session.exitstatus = self.exit_code = exit_code(self.rows, self.errors, int(exitstatus))
        return (yield)

    def _write_reports(self) -> None:
        from depthgauge.report.write import Run, write_report

        session = self.state.session
        run = Run(session=session, started=self.began, elapsed_s=time.time() - self.began)
        problems = sorted(set(self.errors), key=lambda problem: problem.message)
        for name in dict.fromkeys([*session.judged, *(row.method for row in self.rows)]):
            rows = [row for row in self.rows if row.method == name]
            if not (rows or problems):
                continue
            folder = session.reports / name
            with usable(session.reports, "--report-dir", NO_SPACE | FORBIDDEN):
                write_report(folder, name, rows, problems, run, exit_code(rows, problems, 0))
            self.reports.append(folder / "report.md")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.rows and not self.errors:
            return
        code = self.exit_code
        terminalreporter.section("claims")
        if self.rows:
            terminalreporter.write_line(verdict_table(self.rows))
        for problem in dict.fromkeys(self.errors):
            terminalreporter.write_line(f"invalid: {problem.message}")
        for path in self.reports:
            terminalreporter.write_line(f"report: {path}")
        terminalreporter.write_line(f"exit {code}: {EXIT_MEANINGS.get(code, 'see pytest')}")
