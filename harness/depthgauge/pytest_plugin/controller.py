"""The process that owns the terminal: it gathers rows, writes the reports, and sets the exit code."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from depthgauge.core.result import ClaimResult, claim_result_from_plain
from depthgauge.pytest_plugin.claims import ERROR, LETTERS, NOT_RUN, ROW, sent_to_controller
from depthgauge.pytest_plugin.collection import CLAIM, REFUSAL
from depthgauge.pytest_plugin.stages import ALL, note
from depthgauge.pytest_plugin.state import State
from depthgauge.report.outcome import Problem
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.progress import Follower
from depthgauge.runs.result import Findings, Result, conclude, lines_of


def is_again(before: ClaimResult, row: ClaimResult) -> bool:
    return (before.claim, before.method, before.index) == (row.claim, row.method, row.index)


def skipped(rows: Iterable[ClaimResult]) -> list[ClaimResult]:
    """Those that pytest counts under a word of ours, so that -rs leaves out their reasons."""
    return [row for row in rows if row.outcome in LETTERS]


class Controller:
    """Does nothing until a claim was judged, but for showing the workers' progress."""

    def __init__(self, config: pytest.Config, state: State) -> None:
        self.config = config
        self.state = state
        self.findings = Findings()
        self.result: Result | None = None
        self.failed = 0
        self.refusal: tuple[str, int] | None = None
        self.follower: Follower | None = None

    def pytest_sessionstart(self) -> None:
        workers = bool(self.config.getoption("numprocesses", None))
        if self.state.active and (workers or self.state.engine is not None) and not self.config.option.collectonly:
            self.follower = Follower(self.state.progress_file, self.state.tell)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = sent_to_controller(report)
        row = claim_result_from_plain(properties[ROW]) if ROW in properties else None
        if row is not None:  # the last one, where another plugin runs a test again
            self.findings.rows[:] = [other for other in self.findings.rows if not is_again(other, row)]
            self.findings.rows.append(row)
        if report.when == "call" or not report.passed:
            self.note(report, row)
        if NOT_RUN in properties:
            self.findings.not_run.append(tuple(properties[NOT_RUN]))
        if ERROR in properties:
            self.findings.problems.append(Problem(**properties[ERROR]))
        elif report.failed and row is None and CLAIM in dict(report.user_properties):
            *_, last = str(report.longrepr).strip().splitlines() or ["no reason given"]
            self.findings.problems.append(Problem(exit_code=1, message=f"{report.nodeid} broke off: {last.strip()}"))

    def note(self, report: pytest.TestReport, row: ClaimResult | None) -> None:
        """Tell the workers what is over: see `pytest_plugin.stages`."""
        if not self.state.active or not isinstance(self.state.session, ComparisonSession):
            return
        note(self.state.over_file, report.nodeid, blocks=row is not None and row.fails)
        self.failed += report.failed
        if 0 < (self.config.option.maxfail or 0) <= self.failed:
            note(self.state.over_file, ALL)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        if self.follower is not None:
            self.follower.stop()
        if self.findings.rows or self.findings.problems:
            self.state.over_file.unlink(missing_ok=True)
            self.findings.limits = self.limits
            self.result = conclude(
                self.state.session, self.findings, status=int(exitstatus), judged=self.state.options.judged_folder
            )
            session.exitstatus = self.result.exit_code
        elif self.refusal is not None:
            session.exitstatus = self.refusal[1]
        return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker that could not judge its first claim says why, and all say the same."""
        self.refusal = getattr(node, "workeroutput", {}).get(REFUSAL, self.refusal)

    @property
    def limits(self) -> tuple[str, ...]:
        """The options of pytest that left claims out."""
        option = self.config.option
        chosen = {"-k": option.keyword, "--deselect": " ".join(option.deselect or ())}
        return tuple(f"{name} {value}" for name, value in chosen.items() if value)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.refusal is not None:
            terminalreporter.write_line(f"depthgauge: {self.refusal[0]}")
        if self.result is None:
            return
        annotated, colour = os.environ.get("GITHUB_ACTIONS") == "true", terminalreporter.hasmarkup
        quiet = self.config.option.verbose < 0
        if not quiet:
            terminalreporter.section("claims")
        said = [str(self.result.headline)] if quiet else lines_of(self.result, annotated=annotated, colour=colour)
        for line in said:
            terminalreporter.write_line(line)
        if terminalreporter.hasopt("s"):
            for row in skipped(self.result.rows):
                terminalreporter.write_line(f"{row.outcome} {row.claim}: {row.reason}")
