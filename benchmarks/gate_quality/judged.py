"""One pair of checkpoints, judged as the gate does: claims about change in the order of stages, until one blocks."""

import inspect
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depthgauge.checks.inputs import COMMON
from depthgauge.core.claim import Claim, Expectation, Stage
from depthgauge.core.errors import HarnessError
from depthgauge.core.registry import TESTBEDS
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.history.catalogue import claims_of, suites_in
from depthgauge.measure.context import RunContext
from depthgauge.report.outcome import Problem, adjusted, beside, exit_code
from depthgauge.runs.comparison import ComparisonSession, joined
from depthgauge.runs.session import Test
from depthgauge.sources.find import Source
from depthgauge.store.folders import Store

LAYER = re.compile(r"layers?[ .](\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the gate said, at which stage and by which claim first, the layer it named first, and what it cost."""

    exit: int
    stage: str | None
    claim: str | None
    layer: int | None
    seconds: float
    message: str | None = None


def session_of(
    candidate: Path,
    baseline: Path,
    store: Store,
    testbed: str,
    tasks: tuple[str, ...],
    expect: Expectation = Expectation.EQUAL,
) -> ComparisonSession:
    both = joined(COMMON, TESTBEDS[testbed])
    context = RunContext(testbed=both, store=store, tell=lambda line: None)
    return ComparisonSession(
        context=context,
        reports=store.root,
        candidate_source=Source(name="candidate", folder=candidate),
        baseline_source=Source(name="baseline", folder=baseline),
        training=context,
        tasks=tasks,
        expect=expect,
    )


def claims(session: ComparisonSession) -> Iterator[tuple[Claim, Test, dict[str, object]]]:
    """What the gate asks, in its order: a task's claim once for each task."""
    found = [(test.__claim__, test) for module in suites_in("depthgauge.checks") for test in claims_of(module)]
    for claim, test in sorted(found, key=lambda one: one[0].stage):
        arguments = tuple(inspect.signature(test).parameters)
        if not session.applicable_to(claim, arguments):
            continue
        for task in session.tasks if "task" in arguments else (None,):
            yield claim, test, {"baseline": session.baseline} | ({"task": task} if task else {})


def judged(session: ComparisonSession) -> Judged:
    """Judge one pair to the stage that decides. Equal weights are judged too: the exit for them is not taken."""
    began, asked = time.monotonic(), list(claims(session))
    n_comparisons = sum(claim.required for claim, _, _ in asked)
    rows: list[ClaimResult] = []
    stages: dict[str, Stage] = {}
    problems = []
    try:
        for claim, test, others in asked:
            if any(row.fails and stages[row.claim] < claim.stage for row in rows):
                break
            rows.append(beside(session.judge(claim, test, "checks", "candidate", others), n_comparisons))
            stages[rows[-1].claim] = claim.stage
    except HarnessError as error:
        problems = [Problem(exit_code=error.exit_code, message=str(error))]
    rows = adjusted(rows)
    first = next((row for row in rows if row.fails or row.lost_capability), None)
    return Judged(
        exit=exit_code(rows, problems, 0),
        stage=None if first is None else stages[first.claim].name.lower(),
        claim=None if first is None else first.claim,
        layer=layer_named(
            [one.estimate.where or "" for one in rows if one.outcome is Outcome.REFUTED and one.estimate]
            + [problem.message for problem in problems]
        ),
        seconds=round(time.monotonic() - began, 2),
        message=problems[0].message if problems else None,
    )


def layer_named(texts: Sequence[str]) -> int | None:
    """The first layer that what is refuted, or the refusal, names."""
    return next((int(named[1]) for text in texts if (named := LAYER.search(text))), None)
