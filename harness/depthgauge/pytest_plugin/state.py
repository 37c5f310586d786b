"""What the plugin keeps on a config, and what it makes of it when it activates."""

import uuid
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from depthgauge.core.errors import HarnessError, NothingNamed
from depthgauge.core.registry import BROKEN, load_entry_points
from depthgauge.executors.chosen import engine_of
from depthgauge.pytest_plugin.fixtures import fixtures
from depthgauge.pytest_plugin.options import options_of
from depthgauge.runs.config import Options, session_of
from depthgauge.runs.progress import append
from depthgauge.runs.result import Findings, check_reports, conclude, report_refusal
from depthgauge.runs.session import Session

if TYPE_CHECKING:
    from depthgauge.executors.engines import Engine

STATE = pytest.StashKey["State"]()


class State:
    """The session, made when it is first needed, and the way to tell of progress."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        worker = getattr(config, "workerinput", None)
        self.run = str(worker["depthgauge_run"]) if worker else uuid.uuid4().hex[:8]
        self.is_worker = worker is not None
        self.active = False
        self.refusal: HarnessError | None = None  # of the first claim
        self.needed: list[str] = []
        self.prepared: set[int] = set()
        self._session: Session | None = None

    def activate(self) -> None:
        """Make what ships, and what third parties bring, known to pytest. Inactive, the plugin does nothing at all."""
        if self.active:
            return
        self.active = True
        load_entry_points()
        self.config.pluginmanager.register(fixtures(lambda: self.session), "depthgauge-fixtures")

    def deactivate(self) -> None:
        """Take back what `activate` gave: options alone, without a claim, are nobody's business."""
        self.active = False
        self.config.pluginmanager.unregister(name="depthgauge-fixtures")

    @property
    def session(self) -> Session:
        """Raises: UsageError for a command line that cannot be carried out."""
        if self._session is None:
            self.activate()
            look = not self.config.option.collectonly
            try:
                self._session = session_of(self.options, self.run, self.progress, look=look, warn=not self.is_worker)
            except NothingNamed:
                self.deactivate()
                raise
        return self._session

    @cached_property
    def options(self) -> Options:
        """Raises: as `options_of`."""
        return options_of(self.config)

    @cached_property
    def engine(self) -> "Engine | None":
        """What --executor names; None where this process and its siblings of xdist make what is missing.

        Raises: UsageError if it is not known, or not installed.
        """
        return engine_of(self.options)

    def check(self) -> None:
        """End the run before anything is trained or measured where it cannot, or need not, be carried out."""
        for entry, why in BROKEN.items():
            self.tell(f"the entry point {entry!r} is broken, and left out: {why}")
        judged = self.options.judged_folder
        try:
            check_reports(self.session, judged)
        except HarnessError as error:
            pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)
        try:
            equal = self.session.check()
        except HarnessError as error:
            report_refusal(self.session, error, judged)
            pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)
        if equal is not None:
            result = conclude(self.session, Findings(equal=equal), judged=judged)
            pytest.exit(f"depthgauge: {result.headline}", returncode=result.exit_code)

    @property
    def progress_file(self) -> Path:
        return self.options.folder("store") / "progress" / f"{self.run}.log"

    @property
    def over_file(self) -> Path:
        """Which tests of the run are over: see `pytest_plugin.stages`."""
        return self.progress_file.with_suffix(".over")

    def progress(self, line: str) -> None:
        """Tell a line of progress, which -q leaves out."""
        if self.config.option.verbose >= 0:
            self.tell(line)

    def tell(self, line: str) -> None:
        """Show a line of progress now: past pytest's capture, or by way of the controller from a worker."""
        if self.is_worker:
            append(self.progress_file, line)
            return
        capture = self.config.pluginmanager.getplugin("capturemanager")
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                terminal.ensure_newline()
                terminal.write_line(f"  {line}")
