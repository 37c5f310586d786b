"""What must be there before a claim is judged: made in this process and its xdist siblings, or by an executor."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from depthgauge.change import ChangeSession
from depthgauge.errors import HarnessError
from depthgauge.plugin.collection import arguments, claim_of, speaks_of, tier_of
from depthgauge.plugin.state import STATE, State
from depthgauge.session import Session

SHIPPED = "depthgauge"


def prepare(state: State, item: pytest.Function) -> None:
    """Make what the claims need, once: all training, and with --executor every measurement, tier by tier."""
    if state.engine is None:
        train_what_is_needed(state)
        return
    stage = stage_of(state.session, item)
    if stage in state.prepared:
        return
    from depthgauge.jobs.hand_out import hand_out

    claims = [each for each in asked(item.session.items) if stage_of(state.session, each) == stage]
    carry_along(claims)
    try:
        hand_out(state.session, [ask_of(each) for each in claims], state.engine, state.progress_file)
    except HarnessError as error:
        pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)
    state.prepared.add(stage)


def train_what_is_needed(state: State) -> None:
    """All training comes first, shared between the workers: each takes what no other is at."""
    while state.needed:
        name = state.needed.pop()
        if name in state.session.subjects:
            state.session.subjects[name].train_what_is_free()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --plan nothing is run, and what would be made is told."""
    state = session.config.stash[STATE]
    if not state.awake or not state.options.plan or session.config.option.collectonly:
        return None
    from depthgauge.jobs.plan import plan_table

    workers = 1 if state.engine is None else state.engine.workers
    for line in plan_table(state.session, [ask_of(each) for each in asked(session.items)], workers).splitlines():
        state.tell(line)
    return True


def asked(items: Sequence[pytest.Item]) -> list[pytest.Function]:
    """The claims among them."""
    return [item for item in items if isinstance(item, pytest.Function) and claim_of(item.obj) is not None]


def stage_of(session: Session, item: pytest.Item) -> int:
    """What is prepared together: a tier of checks about a change, as one that blocks spares the rest."""
    return int(tier_of(item)) if isinstance(session, ChangeSession) else 0


def ask_of(item: pytest.Function) -> Any:
    """Judges the claim of a test within a session, without pytest's fixtures: a claim that takes others is left out."""
    claim = claim_of(item.obj)
    assert claim is not None

    def ask(session: Session) -> None:
        with suppress(pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception):  # no plain exceptions
            session.judge(claim, item.obj, item.path.stem, str(speaks_of(item)), arguments(item, session))

    return ask


def carry_along(items: Sequence[pytest.Item]) -> None:
    """What a project's own test files and conftest.py define is sent along: no other process can import them."""
    import cloudpickle

    plugins = items[0].config.pluginmanager.get_plugins() if items else set()
    conftests = [one for one in plugins if getattr(one, "__file__", None) and one.__name__.endswith("conftest")]
    for module in {getattr(item, "module", None) for item in items} | set(conftests):
        if module is not None and not module.__name__.startswith(SHIPPED):
            cloudpickle.register_pickle_by_value(module)
