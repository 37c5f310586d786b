"""One run: which methods on which testbed, and each claim judged on its subject and on its control."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.checkpoints import Checkpoints, RunContext
from harness.circuit_subject import CircuitSubject
from harness.claims import judge
from harness.errors import InvalidComparison, NotTestable, Undefined, UsageError
from harness.modular_subject import ModularSubject
from harness.registry import METHODS, methods_on
from harness.store import check_writable
from harness.subject import Subject
from harness.types import (
    AttentionTestbed,
    Claim,
    Estimate,
    LanguageTestbed,
    ModularTestbed,
    Outcome,
    Row,
    Testbed,
    Verdict,
)

Test = Callable[..., Estimate]
KINDS: Mapping[type[Testbed], type[Checkpoints]] = {
    AttentionTestbed: CircuitSubject,
    LanguageTestbed: Subject,
    ModularTestbed: ModularSubject,
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """What the command line asked for."""

    context: RunContext
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reports: Path
    checkpoint: Path | None = None

    @property
    def kind(self) -> type[Checkpoints]:
        """What the checkpoints of the testbed are."""
        return KINDS[type(self.context.testbed)]

    @cached_property
    def subjects(self) -> dict[str, Checkpoints]:
        """Every method of the testbed as a subject; nothing is trained before it is asked."""
        names = methods_on(self.context.testbed.name)
        return {name: self.kind(METHODS[name], self.seeds, self.context) for name in names}

    def subject(self, name: str) -> Checkpoints:
        """Raises: UsageError if the testbed has no such method, as where a claim names another one's control."""
        if name not in self.subjects:
            here, known = self.context.testbed.name, ", ".join(self.subjects)
            raise UsageError(f"{name!r} is not a method of testbed {here!r}: choose one of {known}.")
        return self.subjects[name]

    @cached_property
    def adopted(self) -> Checkpoints | None:
        """The folder that somebody else trained, where one is to be judged."""
        if self.checkpoint is None:
            return None
        return self.kind(METHODS[self.methods[0]], self.seeds, self.context, adopted=self.checkpoint)

    @cached_property
    def trained_already(self) -> tuple[str, ...]:
        """The methods whose checkpoints are all in the store."""
        found = [name for name in self.subjects if METHODS[name].train is not None and not METHODS[name].control]
        return tuple(name for name in found if all(map(self.subjects[name].cached, self.seeds)))

    def check(self) -> None:
        """Refuse before anything is trained.

        Raises: UsageError, InvalidCheckpoint, InvalidComparison, StoreUnusable.
        """
        check_writable(self.context.store.root, "--store")
        check_writable(self.reports, "--report-dir")
        for subject in self.subjects.values():
            if subject.method.train is None:
                subject.check_adopted(subject.untrained())
        if self.adopted is not None and self.checkpoint is not None:
            with suppress(NotTestable):  # that is for each claim to say
                self.adopted.check_adopted(self.checkpoint)
        self.trained_already  # noqa: B018  a damaged entry of the store is found here, and not half-way
        self.ledger  # noqa: B018

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """What this project found on the testbed: claim -> method -> outcome and measured numbers.

        Raises: InvalidComparison unless every outcome is REFUTED, the only one that can be recorded.
        """
        path = self.context.testbed.ledger
        try:
            found: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text()) if path.is_file() else {}
            outcomes = {entry["outcome"] for methods in found.values() for entry in methods.values()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidComparison(f"the ledger {path} is not claim -> method -> outcome and measured.") from error
        if outcomes - {Outcome.REFUTED}:
            raise InvalidComparison(f"the ledger {path} may record REFUTED only, got {', '.join(sorted(outcomes))}.")
        return found

    def recorded(self, claim: Claim, method: str) -> Mapping[str, str] | None:
        """The ledger's entry, where this testbed is known to refute the claim.

        The ledger speaks about the first seed's checkpoint: not about an adopted folder, nor about several seeds.
        """
        if self.checkpoint is not None or len(self.seeds) > 1:
            return None
        return self.ledger.get(claim.id, {}).get(method)

    def judge(self, claim: Claim, test: Test, suite: str, method: str, others: Mapping[str, Any]) -> Row:
        """Judge a claim on its subject and on its control. `others` are the test's further arguments."""
        subject = self.adopted or self.subject(method)
        self.context.evidence.clear()
        verdict = self._verdict(claim, test, subject, others)
        evidence = tuple(self.context.evidence)
        firsts = {name: value.one_seed() if isinstance(value, Checkpoints) else value for name, value in others.items()}
        control = self._verdict(claim, test, self.subject(claim.control).one_seed(), firsts)
        recorded = self.recorded(claim, method)
        return Row(
            claim=claim.id,
            statement=claim.statement,
            suite=suite,
            method=subject.name,
            source=claim.source,
            published=claim.published,
            region=f"{claim.region} {claim.unit}",
            rationale=claim.rationale,
            outcome=verdict.outcome,
            expected=Outcome(recorded["outcome"]) if recorded else Outcome.SUPPORTED,
            reason=verdict.reason + (f" (recorded: {recorded['measured']})" if recorded else ""),
            estimate=verdict.estimate,
            control=claim.control,
            control_outcome=control.outcome,
            control_reason=control.reason,
            evidence=evidence,
        )

    def _verdict(self, claim: Claim, test: Test, subject: Checkpoints, others: Mapping[str, Any]) -> Verdict:
        try:
            estimate = test(subject=subject, **others)
        except (NotTestable, Undefined) as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))
        if not isinstance(estimate, Estimate):
            raise InvalidComparison(
                f"the test of claim {claim.id!r} must return an Estimate, got {type(estimate).__name__}."
            )
        return judge(claim, estimate, population="seeds" if len(subject.seeds) > 1 else None)


def chosen_methods(asked: str, testbed: Testbed) -> tuple[str, ...]:
    """The methods of the option --method: names separated by commas, or 'all' for every trained one of the testbed.

    Raises: UsageError for an unknown name, a control, a method of another testbed, or nothing at all.
    """
    names, here = asked_names(asked), methods_on(testbed.name)
    trained = [name for name in here if METHODS[name].train is not None and not METHODS[name].control]
    if names == ["all"]:
        names = trained
    if not names:
        raise UsageError(f"--method={asked!r} names no method: choose one of {', '.join(trained)}, or all.")
    for name in names:
        if name == "all":
            raise UsageError(f"--method={asked!r}: 'all' stands alone, and means {', '.join(trained)}.")
        if METHODS[name].train is None:
            raise UsageError(
                f"{name!r} is what every claim compares with, and has none of its own: choose a method, or all."
            )
        if METHODS[name].control:
            raise UsageError(f"{name!r} is a control, which every claim must refute: choose a method, or all.")
        if name not in here:
            raise UsageError(
                f"{name!r} is not a method of testbed {testbed.name!r}: choose one of {', '.join(trained)}, or run it "
                "alone, without --testbed."
            )
    return tuple(dict.fromkeys(names))


def home(asked: str, default: str) -> str:
    """The testbed of the first method asked for: the only one it is trained on, or else the default.

    Raises: UsageError for an unknown method.
    """
    names = [name for name in asked_names(asked) if name != "all"]
    return (METHODS[names[0]].testbed if names else None) or default


def asked_names(asked: str) -> list[str]:
    return [name.strip() for name in asked.split(",") if name.strip()]
