"""What a run comes to: its exit code, and its verdicts as cells of a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from depthgauge.core.errors import INVALID_EXIT, USAGE_EXIT, HarnessError
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import holm
from depthgauge.page.escape import one_line
from depthgauge.report.amounts import claimed, measured_where

ACCEPTED_EXIT, REFUTED_EXIT, INCONCLUSIVE_EXIT = 0, 1, 20
LONGEST = 2000  # characters of an error's sentence
WORDS = {0: "accepted", 1: "blocked", 20: "inconclusive", 21: "invalid", 4: "not carried out"}
BEHAVIOUR = ("internals", "generation", "tasks")  # the stages that look at what a model does
PRECEDENCE = (USAGE_EXIT, INVALID_EXIT, REFUTED_EXIT, INCONCLUSIVE_EXIT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """An error that kept a claim from being judged; `details` is the traceback of a user's own code."""

    exit_code: int
    message: str
    details: str = ""


def problem_of(error: HarnessError, prefix: str = "") -> Problem:
    """The error as a problem, its sentence on one line."""
    return Problem(exit_code=error.exit_code, message=one_line(f"{prefix}{error}", LONGEST), details=error.details)


def exit_code(
    rows: Sequence[ClaimResult], problems: Sequence[Problem], pytest_status: int, *, inconclusive_fails: bool = True
) -> int:
    """The exit code of a run with claims: where several apply, 4, 21, 1, 20, 0; pytest's own from 2 on stay.

    A run in which no required claim could be tested decides nothing, and is inconclusive, as is one in which claims
    about behaviour were judged and no required one could see anything, or claims that say whether a candidate is good
    enough, and none is supported. Unless `inconclusive_fails`, what is inconclusive is accepted.
    """
    if pytest_status > 1:
        return pytest_status
    required = [row for row in rows if row.required]
    apply = {problem.exit_code for problem in problems}
    if any(row.lost_capability for row in required):
        apply.add(INVALID_EXIT)
    if any(row.fails for row in required) or (pytest_status == 1 and not problems):
        apply.add(REFUTED_EXIT)
    if inconclusive_fails and (undecided(required) or sees_no_behaviour(rows) or not good_enough(rows)):
        apply.add(INCONCLUSIVE_EXIT)
    return next((code for code in PRECEDENCE if code in apply), ACCEPTED_EXIT)


def undecided(required: Sequence[ClaimResult]) -> bool:
    """Whether something is inconclusive, or nothing could be tested; a refutation that does not stand is
    inconclusive.
    """
    return any(map(inconclusive, required)) or all(row.outcome is Outcome.NOT_TESTABLE for row in required)


def sees_no_behaviour(rows: Sequence[ClaimResult]) -> bool:
    """Whether claims about what the model does were judged, and no required one of them could see anything."""
    about_it = [row for row in rows if row.stage in BEHAVIOUR]
    return bool(about_it) and not any(map(could_see, about_it))


def could_see(row: ClaimResult) -> bool:
    """Whether a claim is required, tested, and proven by its control."""
    return row.required and row.outcome is not Outcome.NOT_TESTABLE


def seeing(rows: Sequence[ClaimResult]) -> str:
    """'12 of 16 required claims could see anything'; those that their control does not prove were required, too."""
    asked = sum(row.required or row.blind for row in rows)
    return f"{sum(map(could_see, rows))} of {asked} required claims could see anything"


def good_enough(rows: Sequence[ClaimResult]) -> bool:
    """Whether one of the claims that say so by themselves is supported, if any was judged."""
    absolute = [row for row in rows if row.absolute]
    return not absolute or any(row.outcome is Outcome.SUPPORTED for row in absolute)


def inconclusive(row: ClaimResult) -> bool:
    return row.outcome is Outcome.INCONCLUSIVE or refuted_not_significant(row)


def refuted_not_significant(row: ClaimResult) -> bool:
    return row.outcome is Outcome.REFUTED and not row.significant


def word(code: int) -> str:
    """What an exit code says, in a word or two."""
    return WORDS.get(code, "stopped")


def shown(row: ClaimResult) -> str:
    """The verdict as people read it: a recorded refutation, a failed control, and what is informational, say so."""
    text = str(row.outcome)
    if refuted_not_significant(row):
        text += " (not significant after Holm)"
    if row.recorded:
        text += f" ({recorded(row)})"
    if not row.required:
        text += " (informational)"
    if row.lost_capability:
        text += " (the baseline can carry it)"
    return f"{text}; CONTROL {row.control_outcome}" if row.blind else text


def recorded(row: ClaimResult) -> str:
    """'3 of 5 seeds refuted', with those that were inconclusive."""
    count = Counter(row.recorded)
    words = {Outcome.SUPPORTED: "supported", Outcome.REFUTED: "refuted", Outcome.INCONCLUSIVE: "inconclusive"}
    parts = [f"{count[outcome]} {word}" for outcome, word in words.items() if count[outcome]]
    return f"of {len(row.recorded)} seeds {', '.join(parts)}"


def counts(rows: Sequence[ClaimResult]) -> str:
    """'9 SUPPORTED, 1 REFUTED, 2 INCONCLUSIVE', in the order of the outcomes; refuted ones as recorded are counted."""
    tally = Counter(row.outcome for row in rows)
    known = sum(row.known_failure for row in rows)
    words = {outcome: f"{tally[outcome]} {outcome}" for outcome in Outcome if tally[outcome]}
    if known:
        words[Outcome.REFUTED] += f" ({known} known to fail)"
    return ", ".join(words.values())


def beside(row: ClaimResult, n_comparisons: int) -> ClaimResult:
    """The row as one of so many required claims: its p is adjusted as if no other were refuted (Bonferroni)."""
    p = p_among_required(row)
    return replace(row, n_comparisons=n_comparisons, holm_p=None if p is None else min(1.0, n_comparisons * p))


def p_among_required(row: ClaimResult) -> float | None:
    """Only a refuted claim that is required can block; what holds, and what is not run, takes part with a p of 1."""
    return row.p if row.required and row.outcome is Outcome.REFUTED else None


def adjusted(rows: Sequence[ClaimResult]) -> list[ClaimResult]:
    """The rows with their p adjusted for all of them together (Holm 1979); in a family, for all required ones."""
    n_comparisons = max((row.n_comparisons for row in rows), default=0)
    ps = {
        place: p
        for place, row in enumerate(rows)
        if (p := p_among_required(row) if n_comparisons else row.p) is not None
    }
    if not ps:
        return list(rows)
    adjusted_ps = dict(zip(ps, holm([*ps.values(), *[1.0] * (n_comparisons - len(ps))]), strict=False))
    return [replace(row, holm_p=adjusted_ps.get(place)) for place, row in enumerate(rows)]


def by_urgency(rows: Sequence[ClaimResult]) -> list[ClaimResult]:
    """Failures first, then what is open, then what holds; within each as they came."""

    def rank(row: ClaimResult) -> int:
        if row.fails or row.lost_capability:
            return 0
        return {Outcome.REFUTED: 1, Outcome.INCONCLUSIVE: 2, Outcome.SUPPORTED: 3, Outcome.NOT_TESTABLE: 4}[row.outcome]

    return sorted(rows, key=rank)


HEADERS = ("claim", "measured [95 %]", "claimed", "verdict")


def verdict_cells(rows: Sequence[ClaimResult]) -> list[tuple[str, ...]]:
    """A row each, failures first, with what was judged before it where that is not one thing."""
    several = len({row.method for row in rows}) > 1
    return [
        (f"{row.method}: {row.claim}" if several else row.claim, measured_where(row), claimed(row), shown(row))
        for row in by_urgency(rows)
    ]


def html_table(rows: Sequence[ClaimResult], problems: Sequence[Problem]) -> str:
    """The verdicts for a notebook, with what kept claims from being judged; tabulate escapes every cell."""
    cells = [*verdict_cells(rows), *(("-", "-", "-", f"not judged: {problem.message}") for problem in problems)]
    return str(tabulate(cells, headers=HEADERS, tablefmt="html", disable_numparse=True))
