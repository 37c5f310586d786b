"""One run: which methods on which testbed, and each claim judged on its subject and on its control."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.claims import judge
from harness.errors import NotTestable, Undefined, UsageError
from harness.models import check_folder, check_same_tokenizer
from harness.registry import METHODS
from harness.store import check_writable
from harness.subject import Subject, Workplace
from harness.types import Claim, Estimate, Outcome, Row, Verdict

Test = Callable[..., Estimate]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What the command line asked for."""

    place: Workplace
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reports: Path
    checkpoint: Path | None = None

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """Every registered method as a subject; nothing is trained before it is asked."""
        return {name: Subject(METHODS[name], self.seeds, self.place) for name in METHODS}

    def candidate(self, method: str) -> Subject:
        """The subject that a claim about `method` is judged on: the adopted folder, where there is one."""
        if self.checkpoint is not None:
            return Subject(METHODS[method], self.seeds, self.place, adopted=self.checkpoint)
        return self.subjects[method]

    def check(self) -> None:
        """Refuse before anything is trained.

        Raises: UsageError, InvalidCheckpoint, InvalidComparison, StoreUnusable.
        """
        check_writable(self.place.store.root, "--store")
        check_writable(self.reports, "--report-dir")
        check_folder(self.place.testbed.base)
        if self.checkpoint is not None:
            check_folder(self.checkpoint)
            check_same_tokenizer(self.checkpoint, self.place.testbed.base)

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """What this project found on the testbed: claim -> method -> outcome and measured numbers."""
        path = self.place.testbed.ledger
        found: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    def recorded(self, claim: Claim, method: str) -> Mapping[str, str] | None:
        """The ledger's entry, where this testbed is known to refute the claim; an adopted folder has none."""
        return None if self.checkpoint is not None else self.ledger.get(claim.id, {}).get(method)

    def judge(self, claim: Claim, test: Test, suite: str, method: str, others: Mapping[str, Any]) -> Row:
        """Judge a claim on its subject and on its control. `others` are the test's further arguments."""
        subject = self.candidate(method)
        self.place.evidence.clear()
        verdict = self._verdict(claim, test, subject, others)
        evidence = tuple(self.place.evidence)
        control = self._verdict(claim, test, self.subjects[claim.control], others)
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
        except NotTestable as error:
            return Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))
        if not isinstance(estimate, Estimate):
            raise Undefined(f"the test of claim {claim.id!r} must return an Estimate, got {type(estimate).__name__}.")
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
        if METHODS[name].control:
            raise UsageError(f"{name!r} is a control, which every claim must refute: choose a method, or all.")
    return tuple(dict.fromkeys(names))
