"""The pytest plugin: options, fixtures, outcomes, exit code. The only file of the house that imports pytest."""

import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.checkpoints import Checkpoints, RunContext
from harness.errors import HarnessError, UsageError
from harness.models import choose_device
from harness.progress import Follower, append
from harness.registry import METHODS, TESTBEDS
from harness.report.outcome import EXIT_MEANINGS, Problem, exit_code, verdict_table
from harness.session import Session, chosen_methods, home
from harness.store import FORBIDDEN, NO_SPACE, Store, usable
from harness.types import Claim, Outcome, Row, row_from_plain, to_plain

ROW, ERROR, CLAIM = "depthgauge_row", "depthgauge_error", "depthgauge_claim"
STATE = pytest.StashKey["State"]()
DEFAULT_METHOD, DEFAULT_TESTBED = "depthscaled", "pocket"


class State:
    """What the plugin keeps on a config: the session, made when it is first needed, and the way to tell of progress."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        worker = getattr(config, "workerinput", None)
        self.run = str(worker["depthgauge_run"]) if worker else uuid.uuid4().hex[:8]
        self.is_worker = worker is not None
        self.needed: list[str] = []
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is None:
            option = self.config.getoption
            for name in ("--checkpoint", "--store", "--report-dir"):
                if option(name) == "":
                    raise UsageError(f"{name}= names no folder: give one, or leave the option out.")
            testbed = TESTBEDS[option("--testbed") or home(option("--method"), DEFAULT_TESTBED)]
            store = Store(self.root("--store"), run=self.run)
            device = choose_device(option("--device"), look=not self.config.option.collectonly)
            context = RunContext(testbed=testbed, device=device, store=store, tell=self.tell)
            folder = option("--checkpoint")
            self._session = Session(
                context=context,
                methods=chosen_methods(option("--method"), testbed),
                seeds=tuple(range(seeds_option(option("--seeds"), adopted=folder is not None))),
                reports=self.root("--report-dir"),
                checkpoint=Path(folder).resolve() if folder else None,
            )
        return self._session

    def root(self, option: str) -> Path:
        """A folder option, relative to where pytest was started; the default is relative to the project."""
        given = self.config.getoption(option)
        if given:
            return Path(self.config.invocation_params.dir, given).resolve()
        default = {"--store": ".depthgauge", "--report-dir": "reports"}[option]
        return Path(self.config.rootpath, default)

    @property
    def progress_file(self) -> Path:
        return self.root("--store") / "progress" / f"{self.run}.log"

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


def seeds_option(value: int, *, adopted: bool) -> int:
    if value < 1:
        raise UsageError(f"--seeds must be at least 1, got {value}: a method without a seed trains nothing.")
    if adopted and value > 1:
        raise UsageError(
            f"--checkpoint is one training, and --seeds={value} asks about several: leave one of them out."
        )
    return value


# -- options and start ---


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("depthgauge", "white-box regression tests for model checkpoints")
    group.addoption(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAMES",
        help="methods to judge: one, several with commas, or 'all' (default: depthscaled). Missing ones are trained.",
    )
    group.addoption(
        "--testbed",
        metavar="NAME",
        help="base model, prompts and exams (default: that of the method, or pocket).",
    )
    group.addoption(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="training seeds of each method (default: 1, about this checkpoint; several, about the method).",
    )
    group.addoption(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto, cpu or cuda (default: auto, the GPU where there is one).",
    )
    group.addoption(
        "--store",
        metavar="DIR",
        help="where checkpoints and measurements are kept (default: .depthgauge in the project).",
    )
    group.addoption("--report-dir", metavar="DIR", help="where reports are written (default: reports in the project).")
    group.addoption(
        "--checkpoint",
        metavar="DIR",
        help="judge this folder, trained by somebody else, with the claims about --method, which is then not trained.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STATE] = state = State(config)
    config.pluginmanager.register(method_fixtures(), "depthgauge-methods")
    if not METHODS or not TESTBEDS or config.option.help:
        return
    try:
        state.session  # an unknown name stops the run before anything is collected  # noqa: B018
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if not state.is_worker:
        config.pluginmanager.register(Controller(config, state), "depthgauge-controller")


def method_fixtures() -> object:
    """A fixture for every registered method, under its name."""

    def fixture_for(name: str) -> Any:
        def method(request: pytest.FixtureRequest) -> Checkpoints:
            try:
                return request.config.stash[STATE].session.subject(name)
            except UsageError as error:
                pytest.fail(str(error), pytrace=False)

        method.__doc__ = f"{name}: {METHODS[name].summary}."
        return pytest.fixture(scope="session", name=name)(method)

    fixtures = ModuleType("depthgauge_methods")
    for name in METHODS:
        setattr(fixtures, name, fixture_for(name))
    return fixtures


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> str:
    """The method that a claim is about; the plugin passes its checkpoints, and then those of the claim's control."""
    return str(request.param)


def pytest_report_header(config: pytest.Config) -> list[str]:
    state = config.stash[STATE]
    if not METHODS or config.option.collectonly:
        return []
    session = state.session
    context = session.context
    if session.checkpoint is not None:
        what = f"judging {session.checkpoint} with the claims about {', '.join(session.methods)}"
    else:
        what = f"judging {', '.join(session.methods)}, {len(session.seeds)} seed(s) each"
    return [
        f"depthgauge: {what}, on testbed {context.testbed.name} ({context.device})",
        f"depthgauge: store {context.store.root}; trained already: {', '.join(session.trained_already) or 'none'}",
    ]


def pytest_sessionstart(session: pytest.Session) -> None:
    state = session.config.stash[STATE]
    if not METHODS or state.is_worker or session.config.option.collectonly:
        return
    try:
        state.session.check()
    except HarnessError as error:
        pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)


# -- collection ---


def claim_of(function: Any) -> Claim | None:
    return getattr(function, "__claim__", None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    claim = claim_of(metafunc.function)
    if claim is None:
        return
    try:
        session = metafunc.config.stash[STATE].session
    except UsageError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    speaks = [name for name in session.methods if METHODS[name].testbed == claim.testbed]
    about = [name for name in speaks if not claim.about or name in claim.about]
    if session.checkpoint is not None:
        about = about[:1]  # one folder, one verdict
    metafunc.parametrize("subject", about or [pytest.param("", id="no-method")], indirect=True)


def speaks_of(item: pytest.Function) -> str | None:
    """The method of a claim; empty where it speaks of none of the chosen ones, and None for other tests."""
    return str(item.callspec.params["subject"]) if claim_of(item.obj) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the claims that speak about none of the chosen methods."""
    unrelated = [item for item in items if isinstance(item, pytest.Function) and speaks_of(item) == ""]
    if unrelated:
        config.hook.pytest_deselected(items=unrelated)
        items[:] = [item for item in items if item not in unrelated]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which subjects the claims will ask for, the longest trainings last: they are taken from the end."""
    state = session.config.stash[STATE]
    needed: set[str] = set()
    for item in session.items:
        claim = claim_of(getattr(item, "obj", None))
        if claim is not None and isinstance(item, pytest.Function):
            item.user_properties.append((CLAIM, claim.id))
            names = [*item.fixturenames, claim.control]
            if state.session.checkpoint is None:
                names.append(str(speaks_of(item)))
            needed.update(name for name in names if name in state.session.subjects)
    order = list(METHODS)
    state.needed = sorted(needed, key=lambda name: (not METHODS[name].control, order.index(name)))


# -- one claim ---


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Judge a claim in place of calling its test, and turn the verdict into pytest's outcome."""
    claim = claim_of(pyfuncitem.obj)
    if claim is None:
        return None
    state = pyfuncitem.config.stash[STATE]
    session = state.session
    # All training comes first, shared between the workers: each takes what no other is at.
    while state.needed:
        session.subjects[state.needed.pop()].train_what_is_free()
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    method = str(arguments.pop("subject"))
    found = row_or_problem(session, claim, pyfuncitem, method, arguments)
    if isinstance(found, Problem):
        pyfuncitem.user_properties.append((ERROR, to_plain(found)))
        pytest.fail(found.message, pytrace=False)
    pyfuncitem.user_properties.append((ROW, to_plain(found)))
    return report_verdict(found)


def row_or_problem(
    session: Session, claim: Claim, item: pytest.Function, method: str, arguments: dict[str, Any]
) -> Row | Problem:
    """The judged claim, or what kept it from being judged; not raised, so that pytest shows no chain of exceptions."""
    try:
        return session.judge(claim, item.obj, item.path.stem, method, arguments)
    except HarnessError as error:
        return Problem(exit_code=error.exit_code, message=str(error))


def report_verdict(row: Row) -> bool:
    """Turn a row into pytest's outcome: pass, fail, expected failure, or skip."""
    if not row.control_refutes:
        pytest.fail(
            f"the control {row.control!r} must refute {row.claim!r} but is {row.control_outcome}: {row.control_reason}",
            pytrace=False,
        )
    if row.outcome is Outcome.REFUTED and row.accepted:
        pytest.xfail(row.reason)
    if row.outcome is Outcome.REFUTED:
        pytest.fail(f"{row.claim} is REFUTED: {row.reason}", pytrace=False)
    if row.outcome is Outcome.SUPPORTED and not row.accepted:
        pytest.fail(f"{row.claim} was {row.expected} on this testbed and now holds: {row.reason}", pytrace=False)
    if row.outcome is not Outcome.SUPPORTED:
        pytest.skip(f"{row.outcome}: {row.reason}")
    return True


LETTERS = {Outcome.INCONCLUSIVE: ("I", {"yellow": True}), Outcome.NOT_TESTABLE: ("N", {"yellow": True})}


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> Any:
    """INCONCLUSIVE and NOT_TESTABLE have letters of their own: neither is a skipped test."""
    row = dict(report.user_properties).get(ROW) if getattr(report, "when", "") == "call" else None
    if row and report.skipped and Outcome(row["outcome"]) in LETTERS:
        letter, markup = LETTERS[Outcome(row["outcome"])]
        return row["outcome"].lower().replace("_", " "), letter, (row["outcome"], markup)
    return None


# -- end ---


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Workers of one run share its name: a training that failed in one fails in all, without being tried again."""
    node.workerinput["depthgauge_run"] = node.config.stash[STATE].run


class Controller:
    """Gathers rows from wherever they were judged, writes the reports, and sets the exit code."""

    def __init__(self, config: pytest.Config, state: State) -> None:
        self.config = config
        self.state = state
        self.began = time.time()
        self.rows: list[Row] = []
        self.errors: list[Problem] = []
        self.reports: list[Path] = []
        self.exit_code = 0
        self.follower: Follower | None = None

    @property
    def has_workers(self) -> bool:
        return bool(self.config.getoption("numprocesses", None))

    def pytest_sessionstart(self) -> None:
        if METHODS and self.has_workers and not self.config.option.collectonly:
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
        self.rows.sort(key=lambda row: (row.suite, row.claim, row.method))
        try:
            self._write_reports()
        except HarnessError as error:
            self.errors.append(Problem(exit_code=error.exit_code, message=str(error)))
        if self.rows or self.errors:
            session.exitstatus = self.exit_code = exit_code(self.rows, self.errors, int(exitstatus))
        return (yield)

    def _write_reports(self) -> None:
        if not (self.rows or self.errors):
            return
        from harness.report.write import Run, write_report

        session = self.state.session
        run = Run(
            testbed=session.context.testbed,
            methods=session.methods,
            seeds=session.seeds,
            device=session.context.device,
            started=self.began,
            elapsed_s=time.time() - self.began,
        )
        problems = sorted(set(self.errors), key=lambda problem: problem.message)
        judged = [session.adopted.name] if session.adopted else session.methods
        for method in dict.fromkeys([*judged, *(row.method for row in self.rows)]):
            rows = [row for row in self.rows if row.method == method]
            if not (rows or problems):
                continue
            folder = session.reports / method
            with usable(session.reports, "--report-dir", NO_SPACE | FORBIDDEN):
                write_report(folder, method, rows, problems, run, exit_code(rows, problems, 0), session.context.store)
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
