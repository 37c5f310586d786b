"""One run: each claim judged on its candidate and on its control."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from depthgauge.core.claim import Claim
from depthgauge.core.errors import InvalidComparison, NotTestable, StatisticUndefined, UsageError
from depthgauge.core.estimate import Estimate
from depthgauge.core.installed import check_installed
from depthgauge.core.method import Method
from depthgauge.core.registry import CORRUPTIONS, METHODS, TESTBEDS, methods_on
from depthgauge.core.result import ClaimResult, Evidence, Outcome, Verdict
from depthgauge.core.testbed import ItemTask, LmEvalTask, Testbed
from depthgauge.core.verdict import judge, p_value
from depthgauge.corruptions import corrupted, with_dose
from depthgauge.history.recorded import RecordedOutcomes
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import Job, RunContext, planned
from depthgauge.models import files
from depthgauge.page.escape import one_line
from depthgauge.sources import folder as folders
from depthgauge.sources.find import Source
from depthgauge.sources.tokenizer import check_same_tokenizer
from depthgauge.store.folders import check_writable

Test = Callable[..., Estimate | Iterator[Estimate]]


@dataclass(frozen=True, kw_only=True)
class Session(ABC):
    """What the command line asked for."""

    context: RunContext
    reports: Path | None  # where the reports are written; None for a run that writes none
    inconclusive_fails: bool = True  # whether what is inconclusive is an exit of its own, 20, or accepted
    quotes: bool = True  # whether reports may quote what models read or said
    settings: str = ""  # what a project's pyproject.toml sets, as a sentence
    controls: dict[tuple[Test | str, ...], Verdict] = field(default_factory=dict, repr=False)  # see `of_control`

    def planned(self, missing: list[Job]) -> Self:
        """The same, which makes nothing: what is asked for and not there is noted in the list."""
        return replace(self, context=planned(self.context, missing))

    @property
    @abstractmethod
    def about(self) -> str:
        """What is judged, in a line."""

    @property
    def power_notes(self) -> tuple[str, ...]:
        """What can be said of the outcome before anything is measured."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a sentence and is no fault: settings of the project, and the files that are judged."""
        return (self.settings,) if self.settings else ()

    @property
    @abstractmethod
    def requirements(self) -> Mapping[str, tuple[str, ...]]:
        """The distributions that the run needs, by what needs them."""

    @property
    def lm_eval_tasks(self) -> tuple[LmEvalTask, ...]:
        """The tasks of lm-eval that the run asks."""
        return tuple(task for task in self.context.testbed.tasks if isinstance(task, LmEvalTask))

    def title(self, name: str) -> str:
        """What a report on that candidate is called."""
        return f"{name} on {self.context.testbed.name}"

    @property
    @abstractmethod
    def judged(self) -> tuple[str, ...]:
        """The names of what is judged: each has a report."""

    @property
    @abstractmethod
    def checkpoint_sets(self) -> Mapping[str, CheckpointSet]:
        """What claims may ask for by name; nothing is trained before it is asked."""

    @property
    def seeds(self) -> tuple[int, ...]:
        return (0,)

    @property
    def compared_with(self) -> tuple[str, ...]:
        """The names of what all that is judged is compared with; none where each claim says it for itself."""
        return ()

    @property
    def checkpoints(self) -> Mapping[str, tuple[str, str]]:
        """Name and fingerprint of the finished checkpoints that the run compares: `candidate`, `baseline`, and the
        `pinned`.
        """
        return {}

    @abstractmethod
    def applicable_to(self, claim: Claim, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the candidates that a claim is judged on, by what its test takes; empty where it is not."""

    def dependencies(self, claim: Claim, arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
        """What must be there before the claim can be judged on that candidate: what it is compared with, its
        control.
        """
        return (*arguments, claim.negative_control)

    @abstractmethod
    def judge(self, claim: Claim, test: Test, suite: str, name: str, others: Mapping[str, Any]) -> ClaimResult:
        """Judge a claim on the candidate of that name and on its control. `others` are the test's further arguments."""

    def check(self) -> str | None:
        """Refuse before anything is trained or measured; what ends the run at once in acceptance, or None.

        Raises: UsageError, InvalidCheckpoint, InvalidComparison, StoreUnusable.
        """
        for who, packages in self.requirements.items():
            check_installed(packages, who)
        from depthgauge.tasks.task_index import find as find_task  # it registers the probe of tasks

        for task in self.lm_eval_tasks:
            find_task(task)  # a mistyped name is refused now, and not after minutes
        check_writable(self.context.store.root, "--store")
        return None

    def checkpoint_set(self, name: str) -> CheckpointSet:
        """Raises: UsageError if the testbed has no such method, as where a claim names another one's control."""
        wanted = self.checkpoint_sets.get(name) or with_dose(name, self.checkpoint_sets)
        if wanted is None:
            here, known = (
                self.context.testbed.name,
                ", ".join(known_name for known_name in self.checkpoint_sets if known_name not in CORRUPTIONS),
            )
            raise UsageError(f"{name!r} is not a method of testbed {here!r}: choose one of {known}, or a corruption.")
        return wanted

    def verdict(self, claim: Claim, test: Test, candidate: CheckpointSet, others: Mapping[str, Any]) -> Verdict:
        """By the estimate that the test returns, or by the first that decides of several that hold together."""
        verdict = None
        try:
            outcome = test(candidate=candidate, **others)
            for estimate in outcome if isinstance(outcome, Iterator) else (outcome,):
                verdict = judged(claim, estimate, candidate)
                if verdict.outcome is not Outcome.INCONCLUSIVE:
                    break
        except (NotTestable, StatisticUndefined) as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))
        if verdict is None:
            raise InvalidComparison(f"the test of claim {claim.id!r} returned an iterator without an estimate.")
        return verdict

    def of_control(self, claim: Claim, test: Test, others: Mapping[str, Any], judge: Callable[[], Verdict]) -> Verdict:
        """The verdict on a claim's control. It hangs on no candidate, so that one does for all that are judged."""
        if self.context.missing is not None or not all(
            isinstance(value, CheckpointSet | str) for value in others.values()
        ):
            return judge()
        key = (
            test,
            claim.id,
            *(value.name if isinstance(value, CheckpointSet) else value for value in others.values()),
        )
        if key not in self.controls:
            self.controls[key] = judge()
        return self.controls[key]

    def row(
        self, suite: str, name: str, verdict: Verdict, control: Verdict, evidence: tuple[Evidence, ...]
    ) -> ClaimResult:
        """The verdict as a row. What a checkpoint's files say in it stays on one line, as logs obey some.

        A claim whose control is not refuted is informational: it cannot be told from one that sees nothing.
        """
        claim, estimate = verdict.claim, verdict.estimate
        tested = verdict.outcome is not Outcome.NOT_TESTABLE
        blind = claim.required and tested and control.outcome is not Outcome.REFUTED
        return ClaimResult(
            claim=claim.id,
            statement=claim.statement,
            suite=suite,
            method=name,
            citation=claim.citation,
            published=claim.published,
            region=f"{claim.region} {claim.unit}",
            rationale=claim.rationale,
            outcome=verdict.outcome,
            reason=one_line(verdict.reason),
            estimate=estimate and replace(estimate, where=one_line(estimate.where)),
            control=claim.negative_control,
            control_outcome=control.outcome,
            control_reason=one_line(control.reason),
            evidence=evidence,
            required=claim.required and not blind,
            blind=blind,
            bounds=claim.region.bounds,
            absolute=claim.absolute,
            p=None if estimate is None else p_value(estimate, claim.region),
        )


@dataclass(frozen=True, kw_only=True)
class MethodSession(Session):
    """Methods on a testbed, or one finished checkpoint with the claims about a method."""

    methods: tuple[str, ...]
    training_seeds: tuple[int, ...]
    suites: tuple[str, ...] = ()
    adopted: CheckpointSet | None = None
    recorded_outcomes: RecordedOutcomes = field(default_factory=RecordedOutcomes)
    known: dict[str, CheckpointSet] = field(default_factory=dict, repr=False)  # see `checkpoint_sets`

    def planned(self, missing: list[Job]) -> Self:
        plan = replace(super().planned(missing), known={})
        return plan if plan.adopted is None else replace(plan, adopted=replace(plan.adopted, context=plan.context))

    @property
    def about(self) -> str:
        if self.adopted is not None:
            about = f" about {', '.join(self.methods)}" if self.methods else ""
            return f"judging {self.adopted.folder} with the claims{about} of {', '.join(self.suites)}"
        seeds = ", ".join(map(str, self.seeds))
        judged, suites = ", ".join(self.methods), ", ".join(self.suites)
        return f"judging {judged}, seed{'s' * (len(self.seeds) > 1)} {seeds}, with the claims of {suites}"

    @property
    def judged(self) -> tuple[str, ...]:
        return self.methods if self.adopted is None else (self.adopted.name,)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.training_seeds

    @property
    def checkpoint_sets(self) -> Mapping[str, CheckpointSet]:
        """Every method of the testbed, and its base corrupted; what was found of them serves all sessions that share
        `known`.
        """
        if not self.known:
            names = methods_on(self.context.testbed.name)
            self.known.update({name: CheckpointSet.of(METHODS[name], self.seeds, self.context) for name in names})
            self.known.update(corrupted(self.context))
        return self.known

    @property
    def requirements(self) -> Mapping[str, tuple[str, ...]]:
        names = self.methods if self.adopted is None else ()
        trained = {f"method {name!r}": METHODS[name].requires for name in names}
        return trained | required_by(self.context.testbed.tasks)

    @cached_property
    def trained_already(self) -> tuple[str, ...]:
        """The methods whose checkpoints are all in the store."""
        here = methods_on(self.context.testbed.name)
        trained = [name for name in here if METHODS[name].train is not None and not METHODS[name].control]
        return tuple(name for name in trained if all(map(self.checkpoint_sets[name].cached, self.seeds)))

    def applicable_to(self, claim: Claim, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if "baseline" in arguments or ("task" in arguments and not self.tasks):
            return ()  # of change: with --baseline
        if self.adopted is not None and not self.methods:
            spoken = not claim.about and claim.testbed in (None, self.context.testbed.name)
            return (self.adopted.name,) if spoken else ()
        speaks = [name for name in self.methods if claim.testbed in self.testbeds_of(METHODS[name])]
        trained = [name for name in speaks if METHODS[name].train is not None]
        about = tuple(name for name in speaks if name in (claim.about or trained))
        return about[: None if self.adopted is None else 1]  # one folder, one verdict

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the testbed's tasks: a claim that takes one is judged on each."""
        return tuple(task.title for task in self.context.testbed.tasks)

    def testbeds_of(self, method: Method) -> tuple[str | None, ...]:
        """Whose claims speak of it: its own testbed's; of one that has none, those of no testbed and of this one."""
        return (method.testbed,) if method.testbed else (None, self.context.testbed.name)

    def dependencies(self, claim: Claim, arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
        own = (name,) if self.adopted is None else ()  # the folder is there, and its method is not trained
        return (*own, *super().dependencies(claim, arguments, name))

    def check(self) -> str | None:
        super().check()
        base = self.context.testbed.base
        if isinstance(base, Path):
            folders.check_folder(base)
        if self.adopted is not None and self.adopted.folder is not None:
            files.check_finite(self.adopted.folder)
        self.check_tokenizer()
        self.trained_already  # noqa: B018  a damaged entry of the store is found here, and not half-way
        return None

    def check_tokenizer(self) -> None:
        """Raises: InvalidComparison if the folder that is judged has another one than the base."""
        base = self.context.testbed.base
        if self.adopted is None or self.adopted.folder is None or not isinstance(base, Path):
            return
        with suppress(NotTestable):  # a checkpoint of another kind: that is for each claim to say
            folders.check_language_folder(self.adopted.folder)
            check_same_tokenizer(self.adopted.folder, base)

    def judge(self, claim: Claim, test: Test, suite: str, name: str, others: Mapping[str, Any]) -> ClaimResult:
        candidate = self.adopted or self.checkpoint_set(name)
        claim = about_task(claim, others)
        self.context.evidence.clear()
        verdict = self.verdict(claim, test, candidate, others)
        evidence = tuple(self.context.evidence)
        control = self.of_control(claim, test, others, partial(self._control, claim, test, others))
        row = self.row(suite, candidate.name, verdict, control, evidence)
        return replace(row, recorded=self.recorded(claim, name))

    def _control(self, claim: Claim, test: Test, others: Mapping[str, Any]) -> Verdict:
        firsts = {key: value.one_seed() if isinstance(value, CheckpointSet) else value for key, value in others.items()}
        return self.verdict(claim, test, self.checkpoint_set(claim.negative_control).one_seed(), firsts)

    def recorded(self, claim: Claim, method: str) -> tuple[Outcome, ...]:
        """What the recorded seeds gave. It speaks of one seed's checkpoint: not of a folder, nor of several seeds."""
        if self.adopted is not None or len(self.seeds) > 1:
            return ()
        return self.recorded_outcomes.outcomes(claim.id, method)


def required_by(tasks: Iterable[ItemTask | LmEvalTask]) -> dict[str, tuple[str, ...]]:
    """What tasks need beyond what any model does: those of lm-eval, and items that are read from a package."""
    return {f"task {task.name!r}": task.requires for task in tasks if task.requires}


def judged(claim: Claim, estimate: object, candidate: CheckpointSet) -> Verdict:
    """Raises: InvalidComparison if a test returned something else than an estimate."""
    if not isinstance(estimate, Estimate):
        raise InvalidComparison(
            f"the test of claim {claim.id!r} must return an Estimate, got {type(estimate).__name__}."
        )
    return judge(claim, estimate, population="seeds" if len(candidate.seeds) > 1 else None)


def about_task(claim: Claim, others: Mapping[str, Any]) -> Claim:
    """The claim with the name of the task that it is judged on in its id."""
    return replace(claim, id=f"{claim.id}[{others['task']}]") if "task" in others else claim


def adopted_candidate(source: Source, context: RunContext) -> CheckpointSet:
    """A finished checkpoint, as the candidate of claims about a method."""
    return CheckpointSet(name=f"adopted-{source.name}", folder=source.folder, context=context)


def chosen_methods(asked: str, testbed: Testbed) -> tuple[str, ...]:
    """The methods of the option --method: names separated by commas, or 'all' for every trained one of the testbed,
    but optional ones.

    Raises: UsageError for an unknown name, a control, a method of another testbed, or nothing at all.
    """
    names, here = asked_names(asked), methods_on(testbed.name)
    trained = [name for name in here if METHODS[name].train is not None and not METHODS[name].control]
    usual = [name for name in trained if not METHODS[name].optional]
    if names == ["all"]:
        names = usual
    if not names:
        raise UsageError(f"--method={asked!r} names no method: choose one of {', '.join(trained)}, or all.")
    METHODS.check(name for name in names if name != "all" and name not in CORRUPTIONS)
    for name in names:
        if name == "all":
            raise UsageError(f"--method={asked!r}: 'all' stands alone, and means {', '.join(usual)}.")
        if name in CORRUPTIONS or METHODS[name].control:
            raise UsageError(f"{name!r} is a control, which every claim must refute: choose a method, or all.")
        if name not in here:
            raise UsageError(
                f"{name!r} is not a method of testbed {testbed.name!r}: choose one of {', '.join(trained)}, or run it "
                "alone, without --testbed."
            )
    return tuple(dict.fromkeys(names))


def home(asked: str) -> str:
    """The testbed of the first method asked for: the only one it is trained on, or else its default. Of 'all', the
    first default of any method.

    Raises: UsageError for an unknown method, or one that names no testbed.
    """
    names = [name for name in asked_names(asked) if name != "all" and name not in CORRUPTIONS]
    METHODS.check(names)
    methods = [METHODS[name] for name in names[:1] or METHODS]
    testbed = next(filter(None, (method.testbed or method.default_testbed for method in methods)), None)
    if testbed is None:
        raise UsageError(f"--method={asked} has no testbed of its own: add --testbed=NAME of {', '.join(TESTBEDS)}.")
    return testbed


def asked_names(asked: str) -> list[str]:
    return [name.strip() for name in asked.split(",") if name.strip()]
