"""One pair of checkpoints, judged as the gate does: claims about change in the order of tiers, until one blocks."""

import inspect
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depthgauge.catalogue import claims_of, suites_in
from depthgauge.change import ChangeSession, joined
from depthgauge.checks.inputs import COMMON
from depthgauge.context import RunContext
from depthgauge.errors import HarnessError
from depthgauge.registry import TESTBEDS
from depthgauge.report.outcome import Problem, adjusted, beside, exit_code
from depthgauge.session import Test
from depthgauge.sources import Source
from depthgauge.store.folders import Store
from depthgauge.types import Claim, Expectation, Outcome, Row, Tier

LAYER = re.compile(r"layers?[ .](\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the gate said, at which tier and by which claim first, the layer it named first, and what it cost."""

    exit: int
    tier: str | None
    claim: str | None
    layer: int | None
    seconds: float
    message: str | None = None


def session_of(
    new: Path, old: Path, store: Store, testbed: str, exams: tuple[str, ...], expect: Expectation = Expectation.EQUAL
) -> ChangeSession:
    both = joined(COMMON, TESTBEDS[testbed])
    context = RunContext(testbed=both, store=store, tell=lambda line: None)
    return ChangeSession(
        context=context, reports=store.root, new_source=Source(name="new", folder=new),
        old_source=Source(name="old", folder=old), training=context, exams=exams, expect=expect,
    )  # fmt: skip


def claims(session: ChangeSession) -> Iterator[tuple[Claim, Test, dict[str, object]]]:
    """What the gate asks, in its order: an exam's claim once for each exam."""
    found = [(test.__claim__, test) for module in suites_in("depthgauge.checks") for test in claims_of(module)]
    for claim, test in sorted(found, key=lambda one: one[0].tier):
        arguments = tuple(inspect.signature(test).parameters)
        if not session.speaks_about(claim, arguments):
            continue
        for exam in session.exams if "exam" in arguments else (None,):
            yield claim, test, {"old": session.old} | ({"exam": exam} if exam else {})


def judged(session: ChangeSession) -> Judged:
    """Judge one pair to the tier that decides. Equal weights are judged too: the exit for them is not taken."""
    began, asked = time.monotonic(), list(claims(session))
    family = sum(claim.gates for claim, _, _ in asked)
    rows: list[Row] = []
    tiers: dict[str, Tier] = {}
    problems = []
    try:
        for claim, test, others in asked:
            if any(row.fails and tiers[row.claim] < claim.tier for row in rows):
                break
            rows.append(beside(session.judge(claim, test, "checks", "new", others), family))
            tiers[rows[-1].claim] = claim.tier
    except HarnessError as error:
        problems = [Problem(exit_code=error.exit_code, message=str(error))]
    rows = adjusted(rows)
    first = next((row for row in rows if row.fails or row.only_old), None)
    return Judged(
        exit=exit_code(rows, problems, 0),
        tier=None if first is None else tiers[first.claim].name.lower(),
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
