"""What the command line, pytest and notebooks call: `compare` two checkpoints, or `verify` a method or a checkpoint.

See docs/python.md. Importing this module imports no torch.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from depthgauge.core.claim import Stage
from depthgauge.core.errors import HarnessError, UsageError
from depthgauge.core.registry import load_entry_points, modules_of
from depthgauge.core.result import ClaimResult, Verdict
from depthgauge.executors.chosen import engine_of
from depthgauge.executors.engines import Engine, engine_named
from depthgauge.executors.hand_out import hand_out
from depthgauge.executors.plan import Ask, plan_table
from depthgauge.history.catalogue import claims_of, suites_in
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.models.load import forbid_models
from depthgauge.report.outcome import Problem, beside, problem_of
from depthgauge.runs.cases import NOBODY, Case, arguments_of, cases_of, claim_of, in_stages, whole_arguments
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.config import Options, options_from, session_of
from depthgauge.runs.progress import Follower
from depthgauge.runs.result import Findings, Result, blocks, check_reports, conclude, refusal, report_refusal
from depthgauge.runs.session import MethodSession, Session, Test

CHECKS = "depthgauge.checks"
CALLED = {"baseline": "the baseline ", "checkpoint": "the candidate "}  # in errors: neither is an option here
CHECKPOINTS_AT_ONCE = 8  # that a process takes


def compare(
    baseline: str | Path, candidate: str | Path, *, claims: Sequence[str] = (), tell: Callable[[str], None] = print,
    advance: Callable[[int, int], object] | None = None, **options: Any,
) -> Result:  # fmt: skip
    """Whether the candidate is what the baseline is, or with `expect="trained"` its sane successor.

    Both are folders, adapters beside their base, or names on the hub. `claims` are ids: none means all. `options` are
    those of `depthgauge compare`, by the fields of `Options`. A report is written where `report_dir` is given. `tell`
    takes lines of progress, and `advance` how many of how many claims are judged.

    Raises: HarnessError, in one sentence, where the comparison cannot be carried out or is invalid.
    """
    given = options_from({**options, "baseline": str(baseline), "checkpoint": str(candidate), "called": CALLED})
    return Runner(options=given, claims=claims, tell=tell, advance=advance).run()


def verify(
    method: str | None = None, *, checkpoint: str | Path | None = None, suites: Sequence[str] = (),
    claims: Sequence[str] = (), tell: Callable[[str], None] = print,
    advance: Callable[[int, int], object] | None = None, **options: Any,
) -> Result:  # fmt: skip
    """Whether the claims of the suites hold for the checkpoints of a method, which is trained where the store has
    none, or for a finished checkpoint. No suites are those that the method and the testbed name.

    Raises: as `compare`.
    """
    named = {"method": method, "checkpoint": None if checkpoint is None else str(checkpoint)}
    given = options_from({**options, **named, "suites": ",".join(suites) or None})
    return Runner(options=given, claims=claims, tell=tell, advance=advance).run()


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Judges one checkpoint after the other by the same options; a control is judged once for all of them.

    Claims about change are those of the packages or modules `checks`, and claims about methods of the suites of the
    options. `claims` are the ids of those to judge: none means all. Every measurement goes into the store of the
    options, which is shared with runs of pytest, and is read from there. `tell` takes lines of progress, `advance`
    how many of how many claims are judged. Reports are written where the options name a folder for them.
    """

    options: Options
    checks: Sequence[str] = (CHECKS,)
    claims: Sequence[str] = ()
    tell: Callable[[str], None] = print
    advance: Callable[[int, int], object] | None = None
    controls: dict[tuple[Test | str, ...], Verdict] = field(default_factory=dict, repr=False)
    known: dict[str, CheckpointSet] = field(default_factory=dict, repr=False)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def run(self, checkpoint: str | Path | None = None) -> Result:
        """The result for this checkpoint, or for what the options name.

        Raises: HarnessError, in one sentence, where it is no checkpoint, has another tokenizer than what it is
        compared with, or the options cannot be carried out.
        """
        session = self.session(checkpoint)
        options = self.options_for(checkpoint)
        check_reports(session, options.judged_folder)
        try:
            equal = self.check(session, one_of_many=checkpoint is not None)
            cases = self.cases(session)
        except HarnessError as error:
            report_refusal(session, error, options.judged_folder)
            raise
        if equal is not None:
            return conclude(session, Findings(equal=equal), judged=options.judged_folder)
        if self.options.dry_run:
            workers = self.engine.workers if self.engine else 1
            return Result(note=plan_table(session, [asks(case) for case in cases], workers))
        if any(case.claim.stage is Stage.TASKS for case in cases):
            for note in session.power_notes:
                self.tell(note)
        return conclude(session, self.judged(session, cases), judged=options.judged_folder)

    def check(self, session: Session, *, one_of_many: bool) -> str | None:
        """As `Session.check`; of one of many, the weights need not be read where all is measured."""
        if one_of_many and isinstance(session, MethodSession):
            session.check_tokenizer()
            return None
        return session.check()

    def judged(self, session: Session, cases: Sequence[Case]) -> Findings:
        """Judge the cases stage by stage; the first stage that blocks ends a comparison."""
        findings = Findings(limits=tuple(f"--claims={name}" for name in self.claims))
        required, index = sum(case.claim.required for case in cases), 0
        staged = isinstance(session, ComparisonSession) and not session.all_stages
        ended = False
        for _, group in in_stages(session, cases):
            if not ended:
                self.measure(session, group)
            before = len(findings.rows)
            for case in group:
                if self.advance is not None:
                    self.advance(index, len(cases))
                if ended:
                    findings.not_run.append((index, title_of(session, case)))
                else:
                    findings.add(outcome_of(session, case, index, required))
                index += 1
            ended = ended or (staged and blocks(findings.rows[before:]))
        return findings

    def run_all(self, checkpoints: Sequence[str | Path], processes: int = 1) -> Iterator[Result]:
        """The result of each, in their order; of one that is refused, its sentence as a problem.

        Several processes fork after the first checkpoint, and share its controls and all that it was compared with.
        They open no model: what is not measured before, as by `prepare`, is a problem.

        Raises: UsageError for less than one process.
        """
        if processes < 1:
            raise UsageError(f"processes={processes}: checkpoints are judged by one, or by several.")
        yield from map(self.result_of, checkpoints[:1])
        if processes == 1:
            yield from map(self.result_of, checkpoints[1:])
            return
        with ProcessPoolExecutor(processes, get_context("fork"), initializer=share, initargs=(self,)) as pool:
            yield from pool.map(result_here, checkpoints[1:], chunksize=CHECKPOINTS_AT_ONCE)

    def result_of(self, checkpoint: str | Path) -> Result:
        """As `run`, of any name."""
        try:
            return self.run(checkpoint)
        except HarnessError as error:
            return refusal(error, str(checkpoint))

    def prepare(self, checkpoints: Sequence[str | Path], executor: str, workers: int | None = None) -> None:
        """Have all that `run` will ask of these checkpoints measured by an executor, as --executor does."""
        sessions, engine = [self.session(name) for name in checkpoints], engine_named(executor, workers)
        if sessions:
            asks = [partial(ask_within, session, case) for session in sessions for case in self.cases(session)]
            self.hand_out(sessions[0], asks, engine)

    def measure(self, session: Session, cases: Sequence[Case]) -> None:
        """With --executor, have all that the cases ask for made by it."""
        if self.engine is not None:
            self.hand_out(session, [asks(case) for case in cases], self.engine)

    def hand_out(self, session: Session, asks: Sequence[Ask], engine: Engine) -> None:
        progress = session.context.store.root / "progress" / f"{self.run_id}.log"
        follower = Follower(progress, self.tell)
        try:
            hand_out(session, asks, engine, progress)
        finally:
            follower.stop()

    @cached_property
    def engine(self) -> Engine | None:
        """Raises: as `engine_of`."""
        return engine_of(self.options)

    def tests(self, session: Session) -> list[tuple[str, Test]]:
        """The claims that are asked for, with the name of the suite that each stands in.

        Raises: UsageError for an id that no claim of the suites has.
        """
        packages = modules_of(session.suites) if isinstance(session, MethodSession) else tuple(self.checks)
        claims = tests_in(packages)
        ids = {claim_of(test).id for _, test in claims}
        unknown = [name for name in self.claims if name not in ids]
        if unknown:
            raise UsageError(f"no claim here has the id {' or '.join(unknown)}: choose of {', '.join(sorted(ids))}.")
        return [(suite, test) for suite, test in claims if not self.claims or claim_of(test).id in self.claims]

    def cases(self, session: Session) -> list[Case]:
        """Raises: UsageError where a margin is not one of its claim."""
        tests = self.tests(session)
        if isinstance(session, ComparisonSession):
            for unused in session.check_margins([claim_of(test) for _, test in tests]):
                self.tell(f"no claim of this run has the margin that was given for it: {unused}")
        return [case for suite, test in tests for case in cases_of(session, suite, test)]

    def checkpoint_set(self, checkpoint: str | Path) -> CheckpointSet:
        """What readings take, and whose `measure` asks a probe."""
        session = self.session(checkpoint)
        if isinstance(session, ComparisonSession):
            return session.candidate
        assert isinstance(session, MethodSession) and session.adopted is not None
        return session.adopted

    def options_for(self, checkpoint: str | Path | None) -> Options:
        return self.options if checkpoint is None else replace(self.options, checkpoint=str(checkpoint))

    def session(self, checkpoint: str | Path | None = None) -> Session:
        """The session about a checkpoint, or about what the options name. Raises: as `session_of`."""
        load_entry_points()
        opened = session_of(self.options_for(checkpoint), self.run_id, self.tell)
        shared: dict[str, Any] = {"controls": self.controls}
        if isinstance(opened, MethodSession):
            shared["known"] = self.known
        return replace(opened, **shared, reports=opened.reports if self.options.report_dir is not None else None)


@cache
def tests_in(packages: tuple[str, ...]) -> tuple[tuple[str, Test], ...]:
    """Every claim of some packages, with the name of its module. Raises: as `suites_in`."""
    modules = dict.fromkeys(module for package in packages for module in suites_in(package))
    return tuple((module.__name__.rpartition(".")[2], test) for module in modules for test in claims_of(module))


def outcome_of(session: Session, case: Case, index: int, required: int) -> ClaimResult | Problem:
    """The judged case, as one of so many required claims, or what kept it from being judged."""
    try:
        row = session.judge(case.claim, case.test, case.suite, case.candidate, whole_arguments(session, case))
    except HarnessError as error:
        return problem_of(error, f"{case.claim.id}: ")
    row = replace(row, index=index)
    return beside(row, required) if isinstance(session, ComparisonSession) else row


def title_of(session: Session, case: Case) -> str:
    """The id of the claim, with what it is about where that is one of several."""
    assert isinstance(session, ComparisonSession)
    return session.specific(case.claim, arguments_of(session, case.choices, case.choices)).id


def asks(case: Case) -> Ask:
    """Judges the case within a session, which may be one that makes nothing."""

    def ask(session: Session) -> None:
        if case.candidate != NOBODY:
            session.judge(case.claim, case.test, case.suite, case.candidate, whole_arguments(session, case))

    return ask


def ask_within(session: Session, case: Case, planned: Session) -> None:
    """Judge a case of one of several sessions within a plan, which notes what any of them lacks."""
    assert planned.context.missing is not None
    asks(case)(session.planned(planned.context.missing))


SHARED: list[Runner] = []  # in a process of `run_all`: what it judges by


def share(runner: Runner) -> None:
    SHARED[:] = [runner]
    forbid_models("run_all in several processes opens no model: measure first, as by prepare, or take one process.")
    threadpool_limits(1)  # as many processes as cores, and sums over some thousand numbers


def result_here(checkpoint: str | Path) -> Result:
    return SHARED[0].result_of(checkpoint)
