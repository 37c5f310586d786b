"""Which claims a session judges, about what, and the one builder of what a claim is called with."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from depthgauge.core.claim import Claim, Stage
from depthgauge.core.errors import UsageError
from depthgauge.core.registry import makes_a_checkpoint
from depthgauge.runs.comparison import BASELINE, ComparisonSession
from depthgauge.runs.session import MethodSession, Session, Test

NOBODY = ""  # the candidate of a claim that says nothing about what is judged


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A claim about one thing: the test, the suite that it stands in, the name of its candidate, and, in `choices`, by
    the name of the argument, which task and which baseline it takes.
    """

    test: Test
    suite: str
    candidate: str
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def claim(self) -> Claim:
        return claim_of(self.test)


def claim_of(test: Any) -> Claim:
    claim: Claim = test.__claim__
    return claim


def argument_names(test: Any) -> tuple[str, ...]:
    """The names that a claim's test takes."""
    return tuple(inspect.signature(test).parameters)


def choices_of(session: Session, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each argument of which there can be several stands for, by its name: tasks, and baselines."""
    assert isinstance(session, ComparisonSession | MethodSession)
    choices = {"task": session.tasks} if "task" in names else {}
    if not isinstance(session, ComparisonSession):
        return choices
    return choices | ({"baseline": session.baselines} if "baseline" in names and len(session.baselines) > 1 else {})


def cases_of(session: Session, suite: str, test: Test) -> Iterator[Case]:
    """Every case of a claim in a session: none where it says nothing about what is judged."""
    names = argument_names(test)
    for candidate in session.applicable_to(claim_of(test), names):
        for choices in combinations(choices_of(session, names)):
            yield Case(test=test, suite=suite, candidate=candidate, choices=choices)


def combinations(options: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Each way to choose one value for every name."""
    if not options:
        yield {}
        return
    name, *rest = options
    for value in options[name]:
        for others in combinations({key: options[key] for key in rest}):
            yield {name: value} | others


def arguments_of(session: Session, names: Iterable[str], choices: Mapping[str, str]) -> dict[str, Any]:
    """What a claim is called with beside its candidate: the baseline, a task, and methods by their names.

    Names that are none of these are left out: pytest has fixtures for them.
    """
    arguments: dict[str, Any] = {}
    for name in names:
        if name == "baseline" and isinstance(session, ComparisonSession):
            arguments[name] = session.baseline_sets[choices.get(name, BASELINE)]
        elif name == "task":
            arguments[name] = choices[name]
        elif makes_a_checkpoint(name):
            arguments[name] = session.checkpoint_set(name)
    return arguments


def whole_arguments(session: Session, case: Case) -> dict[str, Any]:
    """As `arguments_of`. Raises: UsageError for a claim that takes what only a fixture of pytest's can give."""
    names = argument_names(case.test)
    arguments = arguments_of(session, names, case.choices)
    missing = [name for name in names if name != "candidate" and name not in arguments]
    if missing:
        raise UsageError(f"it takes {', '.join(missing)}, which pytest gives and this does not: judge it by pytest.")
    return arguments


def in_stages(session: Session, cases: Iterable[Case]) -> list[tuple[Stage, list[Case]]]:
    """The cases by stage, the cheapest stage first; claims about methods are all of one."""
    if not isinstance(session, ComparisonSession):
        remaining = list(cases)
        return [(Stage.FILES, remaining)] if remaining else []
    by_stage: dict[Stage, list[Case]] = {}
    for case in cases:
        by_stage.setdefault(case.claim.stage, []).append(case)
    return sorted(by_stage.items())
