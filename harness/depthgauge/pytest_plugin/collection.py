"""Which claims are collected, and on which candidates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from depthgauge.core.claim import Claim, Stage
from depthgauge.core.errors import HarnessError
from depthgauge.core.outside import is_checkpoint
from depthgauge.core.registry import CORRUPTIONS, METHODS
from depthgauge.pytest_plugin.roots import NAME_CHECKPOINTS
from depthgauge.pytest_plugin.state import STATE, State
from depthgauge.pytest_plugin.suites import is_judged
from depthgauge.runs.cases import NOBODY, argument_names, arguments_of, choices_of
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.session import Session

CLAIM, REFUSAL = "depthgauge_claim", "depthgauge_refusal"


def claim_of(function: Any) -> Claim | None:
    return getattr(function, "__claim__", None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A checkpoint's folder below the tests is passed over where options name a checkpoint, by workers too."""
    options = config.stash[STATE].options
    named = any(getattr(options, name) for name in NAME_CHECKPOINTS)
    return True if named and collection_path.is_dir() and is_checkpoint(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """The first claim activates the plugin, before pytest looks for the fixtures that it takes.

    Where there is no session for it, no claim is collected, and `pytest_collection_modifyitems` ends the run: pytest
    takes what is raised here for a file that cannot be imported.
    """
    if claim_of(obj) is None:
        return None
    state = collector.config.stash[STATE]
    if state.active:
        return None
    try:
        state.session  # noqa: B018
    except HarnessError as error:
        state.refusal = error
        return []
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    claim = claim_of(metafunc.function)
    if claim is None:
        return
    session = metafunc.config.stash[STATE].session
    judged = is_judged(metafunc.config, session, metafunc.definition.path)
    about = session.applicable_to(claim, argument_names(metafunc.function)) if judged else ()
    metafunc.parametrize("candidate", about or [pytest.param(NOBODY, id="nobody")], indirect=True)
    for name, values in choices_of(session, argument_names(metafunc.function)).items():
        metafunc.parametrize(name, values or [pytest.param(NOBODY, id="none")], indirect=True)


def stage_of(item: pytest.Item) -> Stage:
    """That of a claim; any other test comes first."""
    claim = claim_of(getattr(item, "obj", None))
    return Stage.FILES if claim is None else claim.stage


def count_required(items: Sequence[pytest.Item]) -> int:
    """How many of them are required claims."""
    claims = [claim_of(getattr(item, "obj", None)) for item in items]
    return sum(claim is not None and claim.required for claim in claims)


def candidate_of(item: pytest.Item) -> str | None:
    """The candidate of a claim; `NOBODY` where it speaks of none that is judged, and None for other tests."""
    if not isinstance(item, pytest.Function) or claim_of(item.obj) is None:
        return None
    return str(item.callspec.params["candidate"])


def arguments(item: pytest.Function, session: Session) -> dict[str, Any]:
    """What a claim is called with beside its candidate. What the tool names comes from the session, and never from a
    fixture of that name in somebody's project; everything else is the project's fixture.
    """
    names = [name for name in argument_names(item.obj) if name != "candidate"]
    chosen = arguments_of(session, names, {name: str(value) for name, value in item.callspec.params.items()})
    return {name: chosen[name] if name in chosen else item.funcargs[name] for name in names}


def pytest_itemcollected(item: pytest.Item) -> None:
    """A claim is found by -k under the name that its report gives it, too."""
    claim = claim_of(getattr(item, "obj", None))
    if claim is not None:
        item.extra_keyword_matches.add(claim.id)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the claims that speak about nothing that is judged; those about change come in the order of stages."""
    refusal = config.stash[STATE].refusal
    if refusal is not None and config.stash[STATE].is_worker:
        config.workeroutput[REFUSAL] = str(refusal), refusal.exit_code  # type: ignore[attr-defined]
    elif refusal is not None:
        pytest.exit(f"depthgauge: {refusal}", returncode=refusal.exit_code)
    unrelated = [item for item in items if candidate_of(item) == NOBODY]
    if unrelated:
        config.hook.pytest_deselected(items=unrelated)
        items[:] = [item for item in items if item not in unrelated]
    state = config.stash[STATE]
    if state.active and isinstance(state.session, ComparisonSession):
        if unrelated and not items and not state.is_worker:
            state.tell("no claim here is about two checkpoints: give --pyargs depthgauge.checks, or a file of yours.")
        items.sort(key=stage_of)
        check_margins(state, items)


def check_margins(state: State, items: Sequence[pytest.Item]) -> None:
    """End the run where a margin is not one of its claim, and say which are of no claim."""
    assert isinstance(state.session, ComparisonSession)
    claims = filter(None, (claim_of(getattr(item, "obj", None)) for item in items))
    try:
        unused = state.session.check_margins(claims)
    except HarnessError as error:
        pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)
    if unused and not state.is_worker:
        state.tell(f"no claim of this run has a margin that conftest.py gives: {', '.join(unused)}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which candidates the claims will ask for, the longest trainings last: they are taken from the end."""
    state = session.config.stash[STATE]
    needed: set[str] = set()
    for item in session.items:
        claim = claim_of(getattr(item, "obj", None))
        if claim is not None and isinstance(item, pytest.Function):
            item.user_properties.append((CLAIM, claim.id))
            needed.update(state.session.dependencies(claim, argument_names(item.obj), str(candidate_of(item))))
    methods = [name for name in METHODS if name in needed]
    made = [name for name in CORRUPTIONS if name in needed]
    state.needed = made + sorted(methods, key=lambda name: not METHODS[name].control)
