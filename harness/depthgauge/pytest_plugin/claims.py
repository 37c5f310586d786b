"""One claim: judged in place of calling its test, and its verdict turned into pytest's outcome."""

import json
from dataclasses import replace
from typing import Any

import pytest

from depthgauge.core.claim import Claim
from depthgauge.core.errors import HarnessError
from depthgauge.core.plain import to_plain
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.pytest_plugin.collection import arguments, candidate_of, claim_of, count_required
from depthgauge.pytest_plugin.jobs import prepare
from depthgauge.pytest_plugin.stages import ended_by
from depthgauge.pytest_plugin.state import STATE, State
from depthgauge.report.outcome import Problem, beside, problem_of
from depthgauge.runs.comparison import ComparisonSession

ROW, ERROR, NOT_RUN = "depthgauge_result", "depthgauge_error", "depthgauge_not_run"
LETTERS = {Outcome.INCONCLUSIVE: ("I", {"yellow": True}), Outcome.NOT_TESTABLE: ("N", {"yellow": True})}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    claim = claim_of(pyfuncitem.obj)
    if claim is None:
        return None
    state = pyfuncitem.config.stash[STATE]
    stop_if_ended(state, pyfuncitem, claim)
    outcome = result_or_problem(state, claim, pyfuncitem)
    if isinstance(outcome, Problem):
        tell_controller(pyfuncitem, ERROR, outcome)
        pytest.fail(outcome.message, pytrace=False)
    tell_controller(pyfuncitem, ROW, outcome)
    return report_verdict(outcome)


def stop_if_ended(state: State, item: pytest.Function, claim: Claim) -> None:
    """A stage that blocks ends a run about change: what comes after it is not run."""
    if not isinstance(state.session, ComparisonSession) or state.session.all_stages:
        return
    stage = ended_by(state.over_file, item, item.session.items)
    if stage is not None:
        title = state.session.specific(claim, arguments(item, state.session)).id
        tell_controller(item, NOT_RUN, [item.session.items.index(item), title])
        pytest.skip(f"not run: {stage.name.lower()} blocked")


def tell_controller(item: pytest.Item, name: str, value: Any) -> None:
    """Properties are what a worker sends, and what JUnit's file shows: JSON, for who reads that."""
    item.user_properties.append((name, json.dumps(to_plain(value))))


def sent_to_controller(report: pytest.TestReport) -> dict[str, Any]:
    """What `tell_controller` was given about the test, by name; nothing but in its call."""
    properties = dict(report.user_properties) if report.when == "call" else {}
    return {name: json.loads(str(properties[name])) for name in (ROW, ERROR, NOT_RUN) if name in properties}


def result_or_problem(state: State, claim: Claim, item: pytest.Function) -> ClaimResult | Problem:
    """The judged claim, or what kept it from being judged; not raised, so that pytest shows no chain of exceptions."""
    session = state.session
    try:
        prepare(state, item)
        options = arguments(item, session)
        row = session.judge(claim, item.obj, item.path.stem, str(candidate_of(item)), options)
    except HarnessError as error:
        return problem_of(error)
    row = replace(row, index=item.session.items.index(item))
    return beside(row, count_required(item.session.items)) if isinstance(session, ComparisonSession) else row


def report_verdict(row: ClaimResult) -> bool:
    """Turn a row into pytest's outcome: pass, fail, expected failure, or skip."""
    if row.fails and row.unexpected_pass:
        pytest.fail(f"every recorded seed refuted {row.claim}, and it passes unexpectedly: {row.reason}", pytrace=False)
    if row.fails and row.outcome is Outcome.REFUTED:
        pytest.fail(f"{row.claim} is REFUTED: {row.reason}", pytrace=False)
    if row.outcome is Outcome.REFUTED:
        pytest.xfail(row.reason)
    if row.outcome is not Outcome.SUPPORTED:
        pytest.skip(f"{row.outcome}: {row.reason}")
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> Any:
    """INCONCLUSIVE and NOT_TESTABLE have letters of their own: neither is a skipped test."""
    row = sent_to_controller(report).get(ROW) if getattr(report, "when", "") == "call" else None
    if row and report.skipped and Outcome(row["outcome"]) in LETTERS:
        letter, markup = LETTERS[Outcome(row["outcome"])]
        return row["outcome"].lower().replace("_", " "), letter, (row["outcome"], markup)
    return None
