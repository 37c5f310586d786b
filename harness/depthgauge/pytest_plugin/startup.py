"""How a run starts: the plugin activates at an option of its own, or else at the first claim."""

import pytest

from depthgauge.core.errors import HarnessError, NothingNamed, UsageError
from depthgauge.pytest_plugin.controller import Controller
from depthgauge.pytest_plugin.state import STATE, State


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STATE] = state = State(config)
    if not state.is_worker:
        config.pluginmanager.register(Controller(config, state), "depthgauge-controller")
    try:
        if not state.options.any or config.option.help:
            return
        state.session, state.engine  # an unknown name stops the run before anything is collected  # noqa: B018
    except NothingNamed:
        return  # nobody knows yet whether there is a claim
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except HarnessError as error:
        pytest.exit(f"depthgauge: {error}", returncode=error.exit_code)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Workers of one run share its name: a training that failed in one fails in all, without being tried again."""
    node.workerinput["depthgauge_run"] = node.config.stash[STATE].run  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> list[str]:
    state = config.stash[STATE]
    if not state.active or config.option.collectonly:
        return []
    session = state.session
    context = session.context
    trained = getattr(session, "trained_already", None)
    known = "" if trained is None else f"; trained already: {', '.join(trained) or 'none'}"
    return [
        f"depthgauge: {session.about}, on testbed {context.testbed.name} ({context.placement.device})",
        f"depthgauge: store {context.store.name}{known}",
        *(f"depthgauge: {line}" for line in session.power_notes),
    ]


def pytest_sessionstart(session: pytest.Session) -> None:
    state = session.config.stash[STATE]
    if state.active and not state.is_worker and not session.config.option.collectonly:
        state.check()
