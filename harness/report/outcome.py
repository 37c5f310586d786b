"""What a run comes to: its exit code, and the table that the terminal shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from harness.claims import describe
from harness.errors import INVALID_EXIT, USAGE_EXIT
from harness.types import Outcome, Row

ACCEPTED_EXIT, REFUTED_EXIT, INCONCLUSIVE_EXIT = 0, 1, 20
EXIT_MEANINGS = {
    ACCEPTED_EXIT: "accepted: every claim that could be tested came out as expected",
    REFUTED_EXIT: "a claim was refuted, one recorded as refuted now holds, a control failed, or a test failed",
    USAGE_EXIT: "the command cannot be carried out as given",
    INCONCLUSIVE_EXIT: "nothing was refuted, but something is inconclusive, or nothing could be tested",
    INVALID_EXIT: "the comparison itself is invalid",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """An error that kept a claim from being judged."""

    exit_code: int
    message: str


def exit_code(rows: Sequence[Row], problems: Sequence[Problem], pytest_status: int) -> int:
    """The exit code of a run with claims; pytest's own codes from 2 on keep their meaning.

    A run in which no claim could be tested decides nothing, and is inconclusive.
    """
    if pytest_status > 1:
        return pytest_status
    if problems:
        return max(problem.exit_code for problem in problems)
    if pytest_status == 1 or any(row.fails for row in rows):
        return REFUTED_EXIT
    undecided = all(row.outcome is Outcome.NOT_TESTABLE for row in rows)
    inconclusive = any(row.outcome is Outcome.INCONCLUSIVE for row in rows)
    return INCONCLUSIVE_EXIT if undecided or inconclusive else ACCEPTED_EXIT


def shown(row: Row) -> str:
    """The verdict as people read it: an expected refutation and a failed control are said to be so."""
    text = str(row.outcome)
    if row.outcome is not Outcome.SUPPORTED and row.outcome is row.expected:
        text += " (as recorded)"
    elif row.expected is not Outcome.SUPPORTED and row.outcome is not row.expected:
        text += f" (recorded: {row.expected})"
    return text if row.control_refutes else f"{text}; CONTROL {row.control_outcome}"


def counts(rows: Sequence[Row]) -> str:
    """'9 SUPPORTED, 1 REFUTED (as recorded)', in the order of the outcomes."""
    found = Counter(shown(row) for row in rows)
    order = [str(outcome) for outcome in Outcome]
    return ", ".join(
        f"{found[key]} {key}" for key in sorted(found, key=lambda k: (order.index(k.split()[0].strip(";")), k))
    )


def verdict_table(rows: Sequence[Row]) -> str:
    """One line a verdict, for the terminal."""
    body = [
        (row.claim, row.method, describe(row.estimate) if row.estimate else "-", row.region, shown(row)) for row in rows
    ]
    return tabulate(body, headers=("claim", "method", "measured [95 %]", "claimed", "verdict"), disable_numparse=True)
