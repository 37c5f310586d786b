"""Judge checkpoints from Python: in a notebook, in a trainer's loop, or a thousand of them by several processes.

See docs/python.md.
"""

import inspect
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from depthgauge.catalogue import claims_of, suites_in
from depthgauge.change import ChangeSession, joined
from depthgauge.context import RunContext
from depthgauge.errors import HarnessError, UsageError
from depthgauge.jobs.engines import engine_named
from depthgauge.jobs.hand_out import hand_out
from depthgauge.models.load import Placement, check_dtype, choose_device, forbid_models
from depthgauge.progress import Follower
from depthgauge.registry import METHODS, TESTBEDS, load_entry_points, makes_a_checkpoint
from depthgauge.report.outcome import adjusted, beside, verdict_table
from depthgauge.session import MethodSession, Session, Test, adopted_subject
from depthgauge.sources import Source, find, with_base
from depthgauge.store.remote import store_at
from depthgauge.subject import Subject
from depthgauge.types import Expectation, Row, Verdict

COMMON, SUITES = "common", "depthgauge.suites"
REPORTS = Path("reports")  # of sessions; none is written here
CHECKPOINTS_AT_ONCE = 8  # that a process takes


class Judged(NamedTuple):
    """What was found of one checkpoint; as text, the table that a run of pytest ends with."""

    rows: list[Row]
    problems: list[str]

    def __str__(self) -> str:
        return "\n".join([verdict_table(self.rows), *(f"invalid: {problem}" for problem in self.problems)])


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What checkpoints are held to: with `against`, the claims about change; else those about a `method`.

    `suites` are packages of claims. What is measured goes into the `store`, as that of pytest's runs, and is read from
    there; a control is judged once for all checkpoints. `tell` takes lines of progress.

    Raises: UsageError for a method, a testbed or a package that is not there.
    """

    against: str | Path | None = None
    method: str = "depthscaled"
    testbed: str | None = None
    expect: Expectation | str = Expectation.EQUAL
    suites: Sequence[str] = (SUITES,)
    store: str | Path = ".depthgauge"
    device: str = "auto"
    dtype: str = "float32"
    tell: Any = print
    controls: dict[tuple[Test | str, ...], Verdict] = field(default_factory=dict, repr=False)
    known: dict[str, Subject] = field(default_factory=dict, repr=False)

    def judge(self, checkpoint: str | Path) -> Judged:
        """A row for each claim that speaks of it, in the order of the suites, and what kept others from being judged.

        Raises: HarnessError, in a sentence, where it is no checkpoint, or has another tokenizer than what it is held
        against, or is the same.
        """
        tests, session = self.tests, self.session(self.source(checkpoint))
        rows: list[Row] = []
        problems: list[str] = []
        for suite, test in tests:
            try:
                rows.extend(rows_of(session, suite, test))
            except HarnessError as error:
                problems.append(f"{test.__claim__.id}: {error}")
        if self.against is not None:
            rows = [beside(row, sum(row.gates for row in rows)) for row in rows]
        return Judged(adjusted(rows), problems)

    def judge_all(self, checkpoints: Sequence[str | Path], processes: int = 1) -> Iterator[Judged]:
        """What `judge` finds of each, in their order; of one that it refuses, the sentence, as a problem.

        Several processes fork after the first checkpoint, and share its controls and all that it was compared with.
        They open no model: what is not measured before, as by `prepare`, is a problem.

        Raises: UsageError for less than one process.
        """
        if processes < 1:
            raise UsageError(f"processes={processes}: checkpoints are judged by one, or by several.")
        yield from map(self.found, checkpoints[:1])
        if processes == 1:
            yield from map(self.found, checkpoints[1:])
            return
        with ProcessPoolExecutor(processes, get_context("fork"), initializer=share, initargs=(self,)) as pool:
            yield from pool.map(found_here, checkpoints[1:], chunksize=CHECKPOINTS_AT_ONCE)

    def found(self, checkpoint: str | Path) -> Judged:
        """As `judge`, of any name."""
        try:
            return self.judge(checkpoint)
        except HarnessError as error:
            return Judged([], [f"{checkpoint}: {error}"])

    def prepare(self, checkpoints: Sequence[str | Path], executor: str, workers: int | None = None) -> None:
        """Have all that `judge` will ask of these checkpoints measured by an executor, as pytest's --executor does."""
        sessions, engine = [self.session(self.source(name)) for name in checkpoints], engine_named(executor, workers)
        if not sessions:
            return
        asks = [partial(ask, session, suite, test) for session in sessions for suite, test in self.tests]
        told = self.context.store.root / "progress" / "judging.log"
        follower = Follower(told, self.tell)
        try:
            hand_out(sessions[0], asks, engine, told)
        finally:
            follower.stop()

    @cached_property
    def context(self) -> RunContext:
        load_entry_points()
        store = store_at(self.store, run=uuid.uuid4().hex[:8])
        chosen = TESTBEDS[self.testbed or METHODS[self.method].testbed or "pocket"]
        if self.against is None:
            testbed = with_base(chosen, store=store, start=Path.cwd())
        else:
            testbed = joined(TESTBEDS[COMMON], chosen if self.testbed else None)
        device = self.device if self.device == "cuda" else choose_device(self.device)  # maybe an executor's machine's
        check_dtype(self.dtype, device)
        placement = Placement(device=device, dtype=self.dtype)
        return RunContext(testbed=testbed, store=store, tell=self.tell, placement=placement)

    @cached_property
    def tests(self) -> list[tuple[str, Any]]:
        """Every claim of the suites, with the name of the suite that it stands in."""
        self.context  # noqa: B018  methods and testbeds are known before suites name them
        modules = [module for package in self.suites for module in suites_in(package)]
        return [(module.__name__.rpartition(".")[2], test) for module in modules for test in claims_of(module)]

    @cached_property
    def old(self) -> Source:
        return find(str(self.against), "against", store=self.context.store, start=Path.cwd())

    def subject(self, checkpoint: str | Path) -> Subject:
        """What readings take, and whose `measure` asks a probe."""
        return adopted_subject(self.source(checkpoint), self.context)

    def source(self, checkpoint: str | Path) -> Source:
        found = find(str(checkpoint), "checkpoint", store=self.context.store, start=Path.cwd())
        if found.folder is None:
            raise UsageError(f"{found.name} is a method, which pytest trains: give a folder or a name on the hub.")
        return found

    def session(self, new: Source) -> Session:
        if self.against is None:
            held = MethodSession(
                context=self.context, controls=self.controls, reports=REPORTS, methods=(self.method,),
                training_seeds=(0,), adopted=adopted_subject(new, self.context), known=self.known,
            )  # fmt: skip
            held.check_tokenizer()
            return held
        session = ChangeSession(
            context=self.context, controls=self.controls, reports=REPORTS, new_source=new, old_source=self.old,
            training=self.context, exams=tuple(exam.title for exam in TESTBEDS[COMMON].exams),
            expect=expected(self.expect),
        )  # fmt: skip
        check_comparable(session)
        return session


SHARED: list[Judging] = []  # in a process of `judge_all`: what it judges by


def share(judging: Judging) -> None:
    SHARED[:] = [judging]
    forbid_models("judge_all in several processes opens no model: measure first, as by prepare, or take one process.")
    threadpool_limits(1)  # as many processes as cores, and sums over some thousand numbers


def found_here(checkpoint: str | Path) -> Judged:
    return SHARED[0].found(checkpoint)


def ask(session: Session, suite: str, test: Any, planned: Session) -> None:
    """Judge a claim of one of several sessions within a plan, which notes what any of them lacks."""
    assert planned.context.missing is not None
    for _ in rows_of(session.planned(planned.context.missing), suite, test):
        pass


def check_comparable(session: ChangeSession) -> None:
    """Raises: as `ChangeSession.check`; UsageError where both are the same, bit for bit."""
    same = session.check()
    if same is not None:
        raise UsageError(f"{same}: there is nothing to judge.")


def expected(word: str) -> Expectation:
    """Raises: UsageError for another word."""
    if word not in list(Expectation):
        raise UsageError(f"expect={word!r} is not known: equal, or trained.")
    return Expectation(word)


def rows_of(session: Session, suite: str, test: Any) -> Iterator[Row]:
    """The verdicts of one claim: of none, one, or with an exam among its arguments one for each exam."""
    claim, arguments = test.__claim__, tuple(inspect.signature(test).parameters)
    for name in session.speaks_about(claim, arguments):
        for others in given(session, arguments):
            yield session.judge(claim, test, suite, name, others)


def given(session: Session, arguments: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """What a claim takes beside its subject, as pytest's fixtures would give it."""
    strange = [name for name in arguments if name not in ("subject", "old", "exam") and not makes_a_checkpoint(name)]
    if strange:
        raise UsageError(f"it takes {', '.join(strange)}, which pytest gives and this does not: judge it by pytest.")
    others: dict[str, Any] = {name: session.subject(name) for name in arguments if makes_a_checkpoint(name)}
    if isinstance(session, ChangeSession):
        others |= {"old": session.old} if "old" in arguments else {}
        for exam in session.exams if "exam" in arguments else ("",):
            yield others | ({"exam": exam} if exam else {})
    else:
        yield others
