"""What a task lets pass: `python -m benchmarks.task_power`, whose table docs/power.md has.

Simulated answers of a baseline and a candidate, by how many change and how many are lost net, are judged as the gate
judges a task: by the looks and the whole of `sequential_difference`, beside the run's other required claims after Holm,
to the run's exit code. All other claims hold. Nothing lost is there too: what is then not accepted is inconclusive.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from tabulate import tabulate

from benchmarks.coverage import answers, groups, in_blocks
from depthgauge.checks.claims import DEFAULT_MARGIN_POINTS
from depthgauge.checks.test_tasks import test_it_is_not_worse_in_the_task as the_test
from depthgauge.core.claim import Claim
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import judge, p_value, smallest_detectable_effect
from depthgauge.report.outcome import WORDS, adjusted, beside, exit_code
from depthgauge.runs.comparison import detectable_points
from depthgauge.stats import sequential_difference

ITEMS, OTHERS, SIMULATIONS = 449, 14, 2000
CHANGED, LOST = (0.02, 0.05, 0.1, 0.2, 0.3), (0, 2, 5, 7, 10)  # shares of the answers, and points
CLAIM: Claim = the_test.__claim__


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The exit codes of the gate, and of the gate before: what was open and too noisy for its margin was accepted."""

    now: int
    before: int


def row(outcome: Outcome, **fields: object) -> ClaimResult:
    return ClaimResult(
        claim=CLAIM.id, statement="", suite="", method="", citation="", published="", region=">= -5 points",
        rationale="", outcome=outcome, reason="", control="", control_outcome=Outcome.REFUTED, control_reason="",
        evidence=(), **{"estimate": None, "stage": "tasks", **fields},
    )  # fmt: skip


def said(random: np.random.Generator, changed: float, lost: float, items: int) -> Said:
    """Both gates on one draw."""
    pair, verdict = answers(random, groups(items, 1), 0, changed, lost / 100), None
    for estimate in sequential_difference(in_blocks(pair), estimand="task"):
        verdict = judge(CLAIM, estimate)
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    assert verdict is not None and verdict.estimate is not None
    required = detectable_points(items) <= DEFAULT_MARGIN_POINTS
    task = row(verdict.outcome, estimate=verdict.estimate, p=p_value(verdict.estimate, CLAIM.region), required=required)
    holds = [row(Outcome.SUPPORTED, stage="internals")] * OTHERS
    rows = adjusted([beside(one, OTHERS + required) for one in (*holds, task)])
    noisy = smallest_detectable_effect(verdict.estimate) > DEFAULT_MARGIN_POINTS
    old = replace(rows[-1], required=not (verdict.outcome is Outcome.INCONCLUSIVE and noisy))
    return Said(now=exit_code(rows, (), 0), before=exit_code([*rows[:-1], old], (), 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS, help="of the task (%(default)s)")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="of each line (%(default)s)")
    given = parser.parse_args()
    random, lines = np.random.default_rng(0), []
    for changed in CHANGED:
        for lost in LOST:
            if lost > 100 * changed:
                continue
            found = [said(random, changed, lost, given.items) for _ in range(given.simulations)]
            now, before = Counter(one.now for one in found), Counter(one.before for one in found)
            shares = [f"{count[code] / len(found):.1%}" for count in (now, before) for code in (0, 20, 1)]
            lines.append([f"{changed:.0%}", f"{lost} points", *shares])
            print(*lines[-1], flush=True)
    words = [WORDS[code] for code in (0, 20, 1)]
    headers = ("answers changed", "lost", *words, *(f"{word}, before" for word in words))
    print(f"\n{given.items} items, margin {DEFAULT_MARGIN_POINTS} points, {given.simulations} simulations a line\n")
    print(tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
