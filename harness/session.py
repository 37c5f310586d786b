"""One run: which methods on which testbed, and each claim judged on its subject and on its control."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.checkpoints import RunContext
from harness.claims import judge
from harness.errors import InvalidComparison, NotTestable, Undefined, UsageError
from harness.models import check_finite, check_folder, check_same_tokenizer
from harness.registry import METHODS
from harness.store import check_writable
from harness.subject import Subject
from harness.types import Claim, Estimate, Outcome, Row, Verdict

Test = Callable[..., Estimate]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What the command line asked for."""

    context: RunContext
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reports: Path
    checkpoint: Path | None = None

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """Every registered method as a subject; nothing is trained before it is asked."""
        return {name: Subject(METHODS[name], self.seeds, self.context) for name in METHODS}

    @cached_property
    def adopted(self) -> Subject | None:
        """The folder that somebody else trained, where one is to be judged."""
        if self.checkpoint is None:
            return None
        return Subject(METHODS[self.methods[0]], self.seeds, self.context, adopted=self.checkpoint)

    @cached_property
    def trained_already(self) -> tuple[str, ...]:
        """The methods whose checkpoints are all in the store."""
        found = [name for name in METHODS if METHODS[name].train is not None and not METHODS[name].control]
        return tuple(name for name in found if all(map(self.subjects[name].cached, self.seeds)))

    def check(self) -> None:
        """Refuse before anything is trained.

        Raises: UsageError, InvalidCheckpoint, InvalidComparison, StoreUnusable.
        """
        check_writable(self.context.store.root, "--store")
        check_writable(self.reports, "--report-dir")
        check_folder(self.context.testbed.base)
        if self.checkpoint is not None:
            check_folder(self.checkpoint)
            check_same_tokenizer(self.checkpoint, self.context.testbed.base)
            check_finite(self.checkpoint)
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
        subject = self.adopted or self.subjects[method]
        self.context.evidence.clear()
        verdict = self._verdict(claim, test, subject, others)
        evidence = tuple(self.context.evidence)
        firsts = {name: value.one_seed() if isinstance(value, Subject) else value for name, value in others.items()}
        control = self._verdict(claim, test, self.subjects[claim.control], firsts)
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

    def _verdict(self, claim: Claim, test: Test, subject: Subject, others: Mapping[str, Any]) -> Verdict:
        try:
            estimate = test(subject=subject, **others)
        except (NotTestable, Undefined) as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))
        if not isinstance(estimate, Estimate):
            raise InvalidComparison(
                f"the test of claim {claim.id!r} must return an Estimate, got {type(estimate).__name__}."
            )
        return judge(claim, estimate, population="seeds" if len(subject.seeds) > 1 else None)


def chosen_methods(asked: str) -> tuple[str, ...]:
    """The methods of the option --method: names separated by commas, or 'all' for every trained one.

    Raises: UsageError for an unknown name, a control, or nothing at all.
    """
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if names == ["all"]:
        names = [name for name in METHODS if METHODS[name].train is not None and not METHODS[name].control]
    if not names:
        raise UsageError(f"--method={asked!r} names no method: choose one of {', '.join(METHODS)}, or all.")
    for name in names:
        if METHODS[name].train is None:
            raise UsageError(
                f"{name!r} is what every claim compares with, and has none of its own: choose a method, or all."
            )
        if METHODS[name].control:
            raise UsageError(f"{name!r} is a control, which every claim must refute: choose a method, or all.")
    return tuple(dict.fromkeys(names))
