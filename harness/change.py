"""One run about two checkpoints: what has changed from the old one to the new one, and whether by more than it may."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from depthgauge.claims import DETECTABLE_ERRORS, number, smallest_detectable_effect
from depthgauge.context import Job, RunContext, planned
from depthgauge.corruptions import corrupted
from depthgauge.errors import HarnessError, InvalidComparison, NotTestable, Stale, UsageError
from depthgauge.models.content import same_content
from depthgauge.registry import METHODS
from depthgauge.session import Session, Test, required_by
from depthgauge.sources import Source
from depthgauge.subject import Subject
from depthgauge.types import Claim, Exam, Expectation, Margin, Outcome, Row, Testbed, Tier, Verdict

LAST, ANCHOR = "last", "anchor"
ONE_IN = 10  # answers that change between two checkpoints, for what is said before they are asked


@dataclass(frozen=True, kw_only=True)
class ChangeSession(Session):
    """A new checkpoint against an old one, and against the anchor of a reference. `training` is where methods among
    them are trained.

    The testbed of the context has what all are asked; its base is the old checkpoint where a control breaks it.
    """

    new_source: Source
    old_source: Source
    anchor_source: Source | None = None
    training: RunContext
    exams: tuple[str, ...]
    margins: Mapping[str, Margin] = field(default_factory=dict)  # by claim, by [exam], or by claim[exam]
    every_tier: bool = False
    last_tier: Tier = Tier.EXAMS
    expect: Expectation = Expectation.EQUAL

    def planned(self, missing: list[Job]) -> Self:
        return replace(super().planned(missing), training=planned(self.training, missing))

    @property
    def about(self) -> str:
        words = {Expectation.EQUAL: "to be equal", Expectation.TRAINED: "to be a trained successor"}
        new, old = self.new_source.name, self.old_source.name
        beside = "" if self.anchor_source is None else " and against its anchor"
        return f"judging what changed in {new} against {old}{beside}, expected {words[self.expect]}"

    @property
    def foresight(self) -> tuple[str, ...]:
        """What exams of our own can show, by their size; that of a task of lm-eval is known once it is loaded."""
        if self.last_tier < Tier.EXAMS:
            return ()
        asked = (exam for exam in self.context.testbed.exams if exam.title in self.exams and isinstance(exam, Exam))
        return tuple(
            f"exam {exam.name}: {(n := len(exam.items()))} items show a loss of {number(detectable_points(n))} points, "
            f"four times in five, where one answer in {ONE_IN} changes"
            for exam in asked
        )

    def title(self, name: str) -> str:
        return f"{name} against {self.names[1]}"

    @property
    def judged(self) -> tuple[str, ...]:
        return (self.names[0],)

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called: their folders' names, or where these are one, with the folders they lie in."""
        new, old = self.new_source, self.old_source
        if new.name != old.name or new.folder is None or old.folder is None:
            return new.name, old.name
        mine, its = (f"{one.folder.parent.name}--{one.name}" for one in (new, old) if one.folder is not None)
        return mine, its if its != mine else f"{its}--{LAST}"

    @cached_property
    def new(self) -> Subject:
        return self._finished(self.new_source, self.names[0])

    @cached_property
    def old(self) -> Subject:
        return self._finished(self.old_source, self.names[1])

    @cached_property
    def olds(self) -> Mapping[str, Subject]:
        """What claims compare the new checkpoint with, by the names that tell them apart."""
        if self.anchor_source is None:
            return {LAST: self.old}
        return {LAST: self.old, ANCHOR: self._finished(self.anchor_source, self.compared_with[1])}

    @property
    def baselines(self) -> tuple[str, ...]:
        """The keys of `olds`, which are known before either is opened."""
        return (LAST,) if self.anchor_source is None else (LAST, ANCHOR)

    @property
    def compared_with(self) -> tuple[str, ...]:
        if self.anchor_source is None:
            return (self.names[1],)
        name = self.anchor_source.name
        return (self.names[1], f"{name}--{ANCHOR}" if name in self.names else name)

    @property
    def checkpoints(self) -> Mapping[str, tuple[str, str]]:
        with suppress(HarnessError):  # a training that failed is a problem of the report already
            subjects = {"new": self.new, "old": self.old}
            if self.anchor_source is not None:
                subjects[ANCHOR] = self.olds[ANCHOR]
            return {role: (one.name, one.checkpoints[0].fingerprint) for role, one in subjects.items()}
        return {}

    def _finished(self, source: Source, name: str) -> Subject:
        """The folder of a source as it is; a method is trained first, on its own testbed."""
        folder = source.folder
        if source.method is not None:
            folder = Subject.of(source.method, self.seeds, self.training).checkpoints[0].folder
        return Subject(name=name, folder=folder, context=self.context)

    @property
    def requirements(self) -> Mapping[str, tuple[str, ...]]:
        methods = [source.method for source in (self.new_source, self.old_source) if source.method is not None]
        asked = [exam for exam in self.context.testbed.exams if exam.title in self.exams]
        trained = {f"method {method.name!r}": method.requires for method in methods}
        return trained | (required_by(asked) if self.last_tier >= Tier.EXAMS else {})

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """The new checkpoint, and every control: a corrupted copy of the old one."""
        assert self.old.folder is not None
        broken = replace(self.context, testbed=broken_testbed(self.context.testbed, self.old.folder))
        controls = {name: Subject.of(METHODS[name], (0,), broken) for name in METHODS if METHODS[name].control}
        return (
            {self.new.name: self.new} | controls | corrupted(broken)
        )  # whatever the new one is called, a control is the control

    def speaks_about(self, claim: Claim, arguments: tuple[str, ...]) -> tuple[str, ...]:
        asked = "old" in arguments and claim.expect in (None, self.expect) and claim.tier <= self.last_tier
        return self.judged if asked else ()

    def asked_for(self, claim: Claim, arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
        """Nothing is made before it is asked for: a control costs seconds, and a tier that blocks spares the rest."""
        return ()

    def check(self) -> str | None:
        super().check()
        folders = [source.folder for source in (self.new_source, self.old_source) if source.folder is not None]
        if self.new_source == self.old_source:
            raise UsageError(
                f"--checkpoint and --against both name {self.new_source.name}: give the old one and the new."
            )
        if len(folders) == 2 and folders[0].resolve() == folders[1].resolve():
            raise UsageError(
                f"--checkpoint and --against are the same folder, {folders[0]}: give the old one and the new."
            )
        if len(folders) < 2 or not same_content(folders[0], folders[1]):
            return None
        same = f"{folders[0]} and {folders[1]} hold the same tensors, configuration and tokenizer, bit for bit"
        if self.expect is Expectation.TRAINED:
            raise Stale(f"{same}: nothing was trained, and --expect=trained blocks what is stale.")
        return f"{same}: nothing has changed"

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
        """The claim about one exam, or about the anchor, as its id says, with the margin that was asked for.

        Raises: UsageError if that is none for this claim.
        """
        exam = f"[{others['exam']}]" if "exam" in others else ""
        for name in (f"{claim.id}{exam}", exam, claim.id):
            if name in self.margins:
                claim = with_margin(claim, self.margins[name])
                break
        if exam:
            claim = replace(claim, id=f"{claim.id}{exam}")
        if ANCHOR in self.olds and others["old"] is self.olds[ANCHOR]:
            claim = replace(claim, id=f"{claim.id}[{ANCHOR}]")
        return claim

    def judge(self, claim: Claim, test: Test, suite: str, name: str, others: Mapping[str, Any]) -> Row:
        claim = self.specific(claim, others)
        self.context.evidence.clear()
        verdict = self.verdict(claim, test, self.new, others)
        evidence = tuple(self.context.evidence)
        control = self.of_control(claim, test, others, partial(self._control, claim, test, others))
        if verdict.outcome is Outcome.NOT_TESTABLE:
            return self._not_testable(self.row(suite, name, verdict, control, evidence), claim, test, others)
        row = self.row(suite, name, verdict, control, evidence)
        if control.outcome is not Outcome.REFUTED and verdict.outcome is not Outcome.REFUTED:
            blind = f"the control {claim.control!r} is not refuted, so the claim cannot see damage: {control.reason}"
            return replace(row, outcome=Outcome.NOT_TESTABLE, reason=blind, gates=False)
        return too_small(row, claim)

    def verdict(self, claim: Claim, test: Test, subject: Subject, others: Mapping[str, Any]) -> Verdict:
        """As of a method; but two checkpoints that cannot be compared in something are no fault of the command."""
        try:
            return super().verdict(claim, test, subject, others)
        except InvalidComparison as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))

    def _control(self, claim: Claim, test: Test, others: Mapping[str, Any]) -> Verdict:
        """The verdict on the old checkpoint broken on purpose; NOT_TESTABLE where it cannot be broken that way."""
        try:
            return self.verdict(claim, test, self.subject(claim.control), others)
        except NotTestable as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))

    def _not_testable(self, row: Row, claim: Claim, test: Test, others: Mapping[str, Any]) -> Row:
        """Whether the old checkpoint, beside itself, could carry what the new one cannot."""
        if self.context.missing:
            return row  # a plan in which more is missing: whether it can be carried at all is not known yet
        itself = self.verdict(claim, test, others["old"], others)
        return replace(row, only_old=claim.gates and itself.outcome is not Outcome.NOT_TESTABLE)


def detectable_points(items: int) -> float:
    """The loss that a paired exam shows with 80 % power, where one answer in ten is another one than before."""
    return DETECTABLE_ERRORS * 100 * math.sqrt(1 / (ONE_IN * items))


def with_margin(claim: Claim, margin: Margin) -> Claim:
    try:
        return claim.within(margin)
    except ValueError as error:
        raise UsageError(f"{claim.id}: {error}.") from None


def broken_testbed(testbed: Testbed, old: Path) -> Testbed:
    """Where controls are made: with the old checkpoint for a base. No other field decides what a control is."""
    return replace(testbed, base=old, training=None)


def too_small(row: Row, claim: Claim) -> Row:
    """An open question that this n could not have settled at the claim's margin gates nothing, and says so."""
    estimate, margin = row.estimate, abs(claim.region.low)
    if row.outcome is not Outcome.INCONCLUSIVE or estimate is None or smallest_detectable_effect(estimate) <= margin:
        return row
    return replace(
        row,
        gates=False,
        reason=f"{row.reason}; too few {estimate.generalises_over} for this margin, so it gates nothing",
    )


def joined(common: Testbed, chosen: Testbed | None) -> Testbed:
    """What two checkpoints are asked: what everybody is, and what a chosen testbed adds or puts in its place."""
    if chosen is None:
        return common
    exams = {exam.title: exam for exam in (*common.exams, *chosen.exams)}
    return replace(
        common,
        exams=tuple(exams.values()),
        materials={**common.materials, **chosen.materials},
        threads=chosen.threads,
        needs=chosen.needs,
    )
