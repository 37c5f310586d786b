"""What must be there before a claim is judged: made in this process and its xdist siblings, or by an executor."""

from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest

from depthgauge.core.errors import HarnessError
from depthgauge.core.registry import FILES
from depthgauge.pytest_plugin.collection import arguments, candidate_of, claim_of, stage_of
from depthgauge.pytest_plugin.state import STATE, State
from depthgauge.runs.comparison import ComparisonSession
from depthgauge.runs.session import Session

SHIPPED = ("depthgauge", "_pytest")


def prepare(state: State, item: pytest.Function) -> None:
    """Make what the claims need, once: all training, and with --executor every measurement, stage by stage."""
    note_files(item.config)
    if state.engine is None:
        train_what_is_needed(state)
        return
    batch = batch_of(state.session, item)
    if batch in state.prepared:
        return
    from depthgauge.executors.hand_out import hand_out

    claims = [each for each in asked(item.session.items) if batch_of(state.session, each) == batch]
    try:
        hand_out(state.session, [ask_of(each) for each in claims], state.engine, state.progress_file)
    except HarnessError as error:
        pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)
    state.prepared.add(batch)


def train_what_is_needed(state: State) -> None:
    """All training comes first, shared between the workers: each takes what no other is at."""
    while state.needed:
        name = state.needed.pop()
        if name in state.session.checkpoint_sets:
            state.session.checkpoint_sets[name].train_what_is_free()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --dry-run nothing is run, and what would be made is told."""
    state = session.config.stash[STATE]
    if not state.active or not state.options.dry_run or session.config.option.collectonly:
        return None
    from depthgauge.executors.plan import plan_table

    workers = 1 if state.engine is None else state.engine.workers
    for line in plan_table(state.session, [ask_of(each) for each in asked(session.items)], workers).splitlines():
        state.tell(line)
    return True


def asked(items: Sequence[pytest.Item]) -> list[pytest.Function]:
    """The claims among them."""
    return [item for item in items if isinstance(item, pytest.Function) and claim_of(item.obj) is not None]


def batch_of(session: Session, item: pytest.Item) -> int:
    """What is prepared together: a stage of checks about a change, as one that blocks spares the rest."""
    return int(stage_of(item)) if isinstance(session, ComparisonSession) else 0


def ask_of(item: pytest.Function) -> Any:
    """Judges the claim of a test within a session, without pytest's fixtures: a claim that takes others is left out."""
    claim = claim_of(item.obj)
    assert claim is not None

    def ask(session: Session) -> None:
        with suppress(pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception):  # no plain exceptions
            session.judge(claim, item.obj, item.path.stem, str(candidate_of(item)), arguments(item, session))

    return ask


def note_files(config: pytest.Config) -> None:
    """The project's own conftest.py files and plugins: they register what no other process would know."""
    manager = config.pluginmanager
    installed = {id(plugin) for plugin, _ in manager.list_plugin_distinfo()}
    for _, plugin in manager.list_name_plugin():
        name, file = getattr(plugin, "__name__", ""), getattr(plugin, "__file__", None)
        if isinstance(plugin, ModuleType) and file and id(plugin) not in installed and not name.startswith(SHIPPED):
            FILES[name] = file
