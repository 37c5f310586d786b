"""One run about two checkpoints: what has changed from the baseline to the candidate, and whether by more than it
may.
"""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from depthgauge.checks.claims import DEFAULT_MARGIN_POINTS
from depthgauge.core.claim import Claim, Expectation, Margin, Stage
from depthgauge.core.errors import HarnessError, InvalidComparison, NotTestable, Stale, UsageError
from depthgauge.core.registry import METHODS
from depthgauge.core.result import ClaimResult, Evidence, Outcome, Verdict
from depthgauge.core.testbed import ItemTask, LmEvalTask, Testbed
from depthgauge.core.verdict import DETECTABLE_ERRORS, number
from depthgauge.corruptions import corrupted
from depthgauge.formats.folder import least_bits, tensors
from depthgauge.formats.guess import Guess, guesses, in_words
from depthgauge.formats.tensors import PLAIN_BITS, quantization
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import Job, RunContext, planned
from depthgauge.models.files import read_config
from depthgauge.page.escape import one_line
from depthgauge.runs.session import Session, Test, required_by
from depthgauge.sources.content import same_content
from depthgauge.sources.find import Source
from depthgauge.sources.notes import notes

BASELINE, PINNED = "baseline", "pinned"
TASK_CLAIM = "task-not-worse"  # the claim that a task is asked for
ONE_IN = 10  # answers that change between two checkpoints, for what is said before they are asked


@dataclass(frozen=True, kw_only=True)
class ComparisonSession(Session):
    """A candidate against a baseline, and against the pinned baseline of an accepted baseline. `training` is where
    methods among them are trained.

    The testbed of the context has what all are asked; its base is the baseline where a control breaks it.
    """

    candidate_source: Source
    baseline_source: Source
    pinned_source: Source | None = None
    training: RunContext
    tasks: tuple[str, ...]
    margins: Mapping[str, Margin] = field(default_factory=dict)  # by claim, by [task], or by claim[task]
    all_stages: bool = False
    last_stage: Stage = Stage.TASKS
    expect: Expectation = Expectation.EQUAL

    def planned(self, missing: list[Job]) -> Self:
        return replace(super().planned(missing), training=planned(self.training, missing))

    @property
    def about(self) -> str:
        words = {
            Expectation.EQUAL: "to be equal",
            Expectation.TRAINED: "to be a trained successor",
            Expectation.QUANTIZED: f"to be a quantised copy{self.quantized_as}",
        }
        candidate, baseline = self.candidate_source.name, self.baseline_source.name
        beside = "" if self.pinned_source is None else " and against its pinned baseline"
        return f"judging what changed in {candidate} against {baseline}{beside}, expected {words[self.expect]}"

    @property
    def quantized_as(self) -> str:
        """What the candidate's configuration says of its quantisation; nothing where it is stored plain."""
        folder = self.candidate_source.folder
        settings = None if folder is None else quantization(read_config(folder))
        return "" if settings is None else f" ({settings.get('quant_method')}, {self.bits:g} bits)"

    @cached_property
    def bits(self) -> float:
        """The fewest that a matrix of the candidate's layers takes."""
        folder = self.candidate_source.folder
        if self.guesses:
            return min(bits for bits, _ in self.guesses.values())
        return PLAIN_BITS if folder is None else least_bits(folder)

    @cached_property
    def guesses(self) -> Mapping[str, Guess]:
        """How the matrices of a candidate that should be quantised, and is stored plain, look to be rounded."""
        folder = self.candidate_source.folder
        plain = folder is not None and quantization(read_config(folder)) is None
        return guesses(tensors(folder)) if folder is not None and plain and self.expect is Expectation.QUANTIZED else {}

    @property
    def power_notes(self) -> tuple[str, ...]:
        """What tasks of our own can show, by their size; that of a task of lm-eval is known once it is loaded."""
        if self.last_stage < Stage.TASKS:
            return ()
        from depthgauge.tasks import groups_in  # it registers the probes of tasks

        asked = (task for task in self.context.testbed.tasks if task.title in self.tasks and isinstance(task, ItemTask))
        return tuple(self.power_note(task.title, len(set(groups_in(task)))) for task in asked)

    def power_note(self, task: str, items: int) -> str:
        """What so many items can show, and whether that is enough for the task's margin."""
        shown, margin = detectable_points(items), self.margin_of(task)
        enough = "" if shown <= margin else f": more than its margin of {number(margin)}, so the task is informational"
        return (
            f"task {task}: {items} items show a loss of {number(shown)} points, with 80 % power, where one answer in "
            f"{ONE_IN} changes{enough}"
        )

    def margin_of(self, task: str) -> float:
        """How many points worse a task may be."""
        named = (f"{TASK_CLAIM}[{task}]", f"[{task}]", TASK_CLAIM)
        return next((self.margins[name].value for name in named if name in self.margins), DEFAULT_MARGIN_POINTS)

    @property
    def notes(self) -> tuple[str, ...]:
        """Of both folders, too; of what is yet to be trained nothing."""
        folders = [source.folder for source in (self.candidate_source, self.baseline_source)]
        texts = dict.fromkeys(text for folder in folders if folder is not None for text in notes(folder))
        return (*super().notes, *texts)

    def title(self, name: str) -> str:
        guess = f" (guessed to be rounded to {in_words(self.guesses)})" if self.guesses else ""
        return f"{name}{guess} against {self.names[1]}"

    @property
    def judged(self) -> tuple[str, ...]:
        return (self.names[0],)

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called: their folders' names, or where these are one, with the folders they lie in."""
        candidate, baseline = self.candidate_source, self.baseline_source
        if candidate.name != baseline.name or candidate.folder is None or baseline.folder is None:
            return candidate.name, baseline.name
        candidate_name, baseline_name = (
            f"{side.folder.parent.name}--{side.name}" for side in (candidate, baseline) if side.folder is not None
        )
        return candidate_name, baseline_name if baseline_name != candidate_name else f"{baseline_name}--{BASELINE}"

    @cached_property
    def candidate(self) -> CheckpointSet:
        return self._finished(self.candidate_source, self.names[0])

    @cached_property
    def baseline(self) -> CheckpointSet:
        return self._finished(self.baseline_source, self.names[1])

    @cached_property
    def baseline_sets(self) -> Mapping[str, CheckpointSet]:
        """What claims compare the candidate with, by the names that tell them apart."""
        if self.pinned_source is None:
            return {BASELINE: self.baseline}
        return {BASELINE: self.baseline, PINNED: self._finished(self.pinned_source, self.compared_with[1])}

    @property
    def baselines(self) -> tuple[str, ...]:
        """The keys of `baseline_sets`, which are known before either is opened."""
        return (BASELINE,) if self.pinned_source is None else (BASELINE, PINNED)

    @property
    def compared_with(self) -> tuple[str, ...]:
        if self.pinned_source is None:
            return (self.names[1],)
        name = self.pinned_source.name
        return (self.names[1], f"{name}--{PINNED}" if name in self.names else name)

    @property
    def checkpoints(self) -> Mapping[str, tuple[str, str]]:
        with suppress(HarnessError):  # a training that failed is a problem of the report already
            candidates = {"candidate": self.candidate, "baseline": self.baseline}
            if self.pinned_source is not None:
                candidates[PINNED] = self.baseline_sets[PINNED]
            return {role: (role_set.name, role_set.checkpoints[0].fingerprint) for role, role_set in candidates.items()}
        return {}

    def _finished(self, source: Source, name: str) -> CheckpointSet:
        """The folder of a source as it is; a method is trained first, on its own testbed."""
        folder = source.folder
        if source.method is not None:
            folder = CheckpointSet.of(source.method, self.seeds, self.training).checkpoints[0].folder
        rounded = replace(self.context, rounded_as=self.candidate_source.folder)
        return CheckpointSet(name=name, folder=folder, context=rounded)

    @property
    def requirements(self) -> Mapping[str, tuple[str, ...]]:
        methods = [
            source.method for source in (self.candidate_source, self.baseline_source) if source.method is not None
        ]
        asked = [task for task in self.context.testbed.tasks if task.title in self.tasks]
        trained = {f"method {method.name!r}": method.requires for method in methods}
        return trained | (required_by(asked) if self.last_stage >= Stage.TASKS else {})

    @property
    def lm_eval_tasks(self) -> tuple[LmEvalTask, ...]:
        asked = (task for task in super().lm_eval_tasks if task.title in self.tasks)
        return tuple(asked) if self.last_stage >= Stage.TASKS else ()

    @cached_property
    def checkpoint_sets(self) -> Mapping[str, CheckpointSet]:
        """The candidate, and every control: a corrupted copy of the baseline."""
        assert self.baseline.folder is not None
        testbed = broken_testbed(self.context.testbed, self.baseline.folder)
        # Nothing is declared of a control.
        broken = replace(self.context, testbed=testbed, allowed=(), rounded_as=self.candidate.folder)
        controls = {name: CheckpointSet.of(METHODS[name], (0,), broken) for name in METHODS if METHODS[name].control}
        return (
            {self.candidate.name: self.candidate} | controls | corrupted(broken)
        )  # whatever the candidate is called, a control is the control

    def applicable_to(self, claim: Claim, arguments: tuple[str, ...]) -> tuple[str, ...]:
        asked = "baseline" in arguments and claim.expect in (None, self.expect) and claim.stage <= self.last_stage
        return self.judged if asked else ()

    def dependencies(self, claim: Claim, arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
        """Nothing is made before it is asked for: a control costs seconds, and a stage that blocks spares the rest."""
        return ()

    def check(self) -> str | None:
        super().check()
        folders = [
            source.folder for source in (self.candidate_source, self.baseline_source) if source.folder is not None
        ]
        if self.candidate_source == self.baseline_source:
            raise UsageError(
                f"the candidate and the baseline are both {self.candidate_source.name}: name two that differ."
            )
        if len(folders) == 2 and folders[0].resolve() == folders[1].resolve():
            raise UsageError(f"the candidate and the baseline are the same folder, {folders[0]}: name two that differ.")
        if len(folders) < 2 or not same_content(folders[0], folders[1]):
            return None
        if self.expect is Expectation.TRAINED:
            raise Stale(
                f"{self.names[0]} and {self.names[1]} hold the same tensors, configuration and tokenizer, bit for bit: "
                "nothing was trained, and --expect=trained blocks what is stale; name the folder that was saved last."
            )
        return f"{self.names[0]} is {self.names[1]}, bit for bit"

    def check_margins(self, claims: Iterable[Claim]) -> list[str]:
        """The margins that were given and belong to none of these claims.

        Raises: UsageError for one that its claim cannot have.
        """
        known = {claim.id: claim for claim in claims}
        named = {name: known.get(name.partition("[")[0]) for name in self.margins}
        for name, claim in named.items():
            if claim is not None:
                with_margin(claim, self.margins[name])
        return [name for name, claim in named.items() if claim is None and not name.startswith("[")]

    def specific(self, claim: Claim, others: Mapping[str, Any]) -> Claim:
        """The claim about one task, or about the pinned baseline, as its id says, with the margin that was asked for.

        Raises: UsageError if that is none for this claim.
        """
        claim = claim.for_bits(self.bits) if claim.by_bits else claim
        task = f"[{others['task']}]" if "task" in others else ""
        for name in (f"{claim.id}{task}", task, claim.id):
            if name in self.margins:
                claim = with_margin(claim, self.margins[name])
                break
        if task:
            claim = replace(claim, id=f"{claim.id}{task}")
        if PINNED in self.baseline_sets and others["baseline"] is self.baseline_sets[PINNED]:
            claim = replace(claim, id=f"{claim.id}[{PINNED}]")
        return claim

    def with_power(self, claim: Claim, others: Mapping[str, Any]) -> Claim:
        """The claim, informational where its task has too few items for its margin: by the design alone, before any
        answer of the candidate is seen.
        """
        if "task" not in others or self.context.missing is not None:
            return claim
        from depthgauge.tasks import independent_items  # it registers the probes of tasks

        with suppress(HarnessError):  # a task that cannot be asked is for the claim to say
            items, margin = independent_items(others["baseline"], others["task"]), abs(claim.region.low)
            if math.isfinite(margin) and detectable_points(items) > margin:
                note = self.power_note(others["task"], items)
                return replace(claim, required=False, rationale=f"{claim.rationale}; {note}")
        return claim

    def judge(self, claim: Claim, test: Test, suite: str, name: str, others: Mapping[str, Any]) -> ClaimResult:
        claim = self.with_power(self.specific(claim, others), others)
        self.context.evidence.clear()
        verdict = self.verdict(claim, test, self.candidate, others)
        evidence = tuple(self.context.evidence)
        control = self.of_control(claim, test, others, partial(self._control, claim, test, others))
        if verdict.outcome is Outcome.NOT_TESTABLE:
            return self._not_testable(self.row(suite, name, verdict, control, evidence), claim, test, others)
        row = self.row(suite, name, verdict, control, evidence)
        if control.outcome is Outcome.REFUTED:
            return row
        unproven = (
            f"the control {claim.negative_control!r} is not refuted, so the claim cannot see damage: {control.reason}"
        )
        if verdict.outcome is Outcome.REFUTED:
            return replace(row, reason=f"{row.reason}; informational, as {one_line(unproven)}")
        return replace(row, outcome=Outcome.NOT_TESTABLE, reason=one_line(unproven))

    def row(
        self, suite: str, name: str, verdict: Verdict, control: Verdict, evidence: tuple[Evidence, ...]
    ) -> ClaimResult:
        return replace(super().row(suite, name, verdict, control, evidence), stage=verdict.claim.stage.name.lower())

    def verdict(self, claim: Claim, test: Test, candidate: CheckpointSet, others: Mapping[str, Any]) -> Verdict:
        """As of a method; but two checkpoints that cannot be compared in something are no fault of the command."""
        try:
            return super().verdict(claim, test, candidate, others)
        except InvalidComparison as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))

    def _control(self, claim: Claim, test: Test, others: Mapping[str, Any]) -> Verdict:
        """The verdict on the baseline broken on purpose; NOT_TESTABLE where it cannot be broken that way."""
        try:
            return self.verdict(claim, test, self.checkpoint_set(claim.negative_control), others)
        except NotTestable as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))

    def _not_testable(self, row: ClaimResult, claim: Claim, test: Test, others: Mapping[str, Any]) -> ClaimResult:
        """Whether the baseline, beside itself, could carry what the candidate cannot."""
        if self.context.missing:
            return row  # a plan in which more is missing: whether it can be carried at all is not known yet
        itself = self.verdict(claim, test, others["baseline"], others)
        return replace(row, lost_capability=claim.required and itself.outcome is not Outcome.NOT_TESTABLE)


def detectable_points(items: int) -> float:
    """The loss that a paired task shows with 80 % power, where one answer in ten is another one than before."""
    return DETECTABLE_ERRORS * 100 * math.sqrt(1 / (ONE_IN * items))


def with_margin(claim: Claim, margin: Margin) -> Claim:
    try:
        return claim.within(margin)
    except ValueError as error:
        raise UsageError(f"{claim.id}: {error}.") from None


def broken_testbed(testbed: Testbed, baseline: Path) -> Testbed:
    """Where controls are made: with the baseline for a base. No other field decides what a control is."""
    return replace(testbed, base=baseline, training=None)


def joined(common: Testbed, chosen: Testbed | None) -> Testbed:
    """What two checkpoints are asked: what everybody is, and what a chosen testbed adds or puts in its place."""
    if chosen is None:
        return common
    tasks = {task.title: task for task in (*common.tasks, *chosen.tasks)}
    return replace(
        common,
        tasks=tuple(tasks.values()),
        probe_inputs={**common.probe_inputs, **chosen.probe_inputs},
        threads=chosen.threads,
        resources=chosen.resources,
        joined_with=chosen.name,
    )
