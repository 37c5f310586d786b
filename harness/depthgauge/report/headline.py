"""What happened, in one sentence: what was found, how much, where, what is allowed, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from depthgauge.core.errors import INVALID_EXIT, USAGE_EXIT
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import n_that_settles
from depthgauge.report.amounts import claimed, measured
from depthgauge.report.outcome import (
    ACCEPTED_EXIT,
    INCONCLUSIVE_EXIT,
    Problem,
    by_urgency,
    good_enough,
    inconclusive,
    refuted_not_significant,
    seeing,
    word,
)

BLOCKED = {  # what to do about a claim about change that is refuted, by its stage
    "files": "Save the files of the candidate again as the baseline's are; --all-stages goes on where that is meant",
    "weights": "Check how {where} was saved, merged or converted; where the change is meant, --expect=trained or a "
    "wider margin in conftest.py judges it",
    "internals": "Check {where}; --all-stages goes on past it, and a margin in conftest.py allows more",
    "generation": "Read in the report what both said; a margin in conftest.py allows more",
    "tasks": "Read in the report which answers were lost; --margin=TASK=POINTS says how much worse a task may be",
}
OF_A_METHOD = "Keep what it was trained from; --seeds=3 tells whether the method or this one training is at fault"
ADD_ITEMS = "Ask a task of more items with --tasks, or accept what is open with --inconclusive=warn"
WIDEN = "No option adds {units}: give the claim a wider margin in conftest.py, or accept what is open with "
WARN = "--inconclusive=warn"
NEXT = "'depthgauge accept NAME CANDIDATE' makes it the next baseline"
STALE = "Nothing was trained: name the folder that was saved last, or check how it was merged and saved"
THE_PLACE = "the place"


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The parts of the sentence. `about` is what was judged, `thing` what was measured, or what happened where nothing
    was; `claim` is the id that decides; `size`, `place` and `allowed` are empty where there are none.
    """

    outcome: str
    thing: str
    about: str = ""
    claim: str = ""
    size: str = ""
    place: str = ""
    allowed: str = ""
    more: tuple[str, ...] = ()
    advice: str = ""

    def __str__(self) -> str:
        size = f"{self.size} ({self.place})" if self.place else self.size
        parts = ": ".join(filter(None, (self.about, self.thing, size)))
        parts = ", ".join(filter(None, (parts, self.allowed)))
        parts += f" [{self.claim}]" if self.claim else ""
        text = ". ".join(filter(None, (f"{self.outcome}: {'; '.join((parts, *self.more))}", self.advice)))
        return text if text.endswith(("?", "!")) else f"{text}."


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What was judged, in a few words, and what was left out of it. `equal` says that two checkpoints are the same."""

    title: str
    equal: str = ""
    limits: Sequence[str] = ()
    not_run: Sequence[str] = ()


def headline_of(rows: Sequence[ClaimResult], problems: Sequence[Problem], code: int, about: About) -> Headline:
    """The sentence of a run with this exit code."""
    required = [row for row in by_urgency(rows) if row.required]
    said = [problem for problem in problems if problem.exit_code == code] or list(problems)
    if said and (code in (INVALID_EXIT, USAGE_EXIT) or not any(row.fails for row in required)):
        return Headline(outcome=outcome_word(code), thing=said[0].message.rstrip("."), more=others(len(said) - 1))
    lost = [row for row in required if row.lost_capability]
    if code == INVALID_EXIT and lost:
        return invalid(lost, about)
    failed = [row for row in required if row.fails]
    if failed:
        return blocked(failed, about)
    if code == INCONCLUSIVE_EXIT:
        return undecided(rows, about)
    if code == ACCEPTED_EXIT and about.equal:
        return Headline(
            outcome="Accepted", thing=about.equal, size="0 differences", place="tensors, configuration, tokenizer",
            advice="Nothing had to be measured: it can take the baseline's place",
        )  # fmt: skip
    if code == ACCEPTED_EXIT:
        return accepted(rows, about)
    return Headline(outcome=outcome_word(code), about=about.title, thing=f"the run ended with exit {code}")


def outcome_word(code: int) -> str:
    return word(code).capitalize()


def others(count: int) -> tuple[str, ...]:
    return (f"and {count} more",) if count > 0 else ()


def sentence(outcome: str, row: ClaimResult, about: About, more: tuple[str, ...], advice: str) -> Headline:
    """One row as a sentence."""
    estimate, title = row.estimate, about.title
    if estimate is None:
        reason = row.reason.rstrip(".")
        return Headline(outcome=outcome, about=title, thing=reason, claim=row.claim, more=more, advice=advice)
    return Headline(
        outcome=outcome, about=title, thing=estimate.estimand, claim=row.claim, size=measured(estimate),
        place=estimate.where, allowed=allowed(row), more=more, advice=advice,
    )  # fmt: skip


def allowed(row: ClaimResult) -> str:
    return f"{claimed(row)} {'required' if row.region.startswith('>') else 'allowed'}"


def blocked(failed: Sequence[ClaimResult], about: About) -> Headline:
    row = failed[0]
    more = others(len(failed) - 1)
    if about.not_run:
        more += (f"{len(about.not_run)} later claims were not run",)
    if row.unexpected_pass:
        return sentence(
            "Blocked", row, about, ("every recorded seed refuted it", *more), "Record it anew: depthgauge record"
        )
    where = "" if row.estimate is None else row.estimate.where.removeprefix("first at ")
    stale = row.stage == "weights" and row.region.startswith(">")  # what had to move did not: there is no place
    advice = STALE if stale else BLOCKED.get(row.stage, OF_A_METHOD).format(where=where or THE_PLACE)
    return sentence("Blocked", row, about, more, advice)


def invalid(lost: Sequence[ClaimResult], about: About) -> Headline:
    row = lost[0]
    return Headline(
        outcome="Invalid", about=about.title, claim=row.claim,
        thing=f"the baseline can be asked this and the candidate cannot: {row.reason.rstrip('.')}",
        more=others(len(lost) - 1), advice="Compare checkpoints of one kind, or repair what the candidate lacks",
    )  # fmt: skip


def undecided(rows: Sequence[ClaimResult], about: About) -> Headline:
    still = [row for row in by_urgency(rows) if row.required and inconclusive(row)]
    if not still and not good_enough(rows):
        return not_shown(next(row for row in rows if row.absolute), about)
    if not still:
        return nothing_tested(rows, about)
    row = still[0]
    more = (*others(len(still) - 1), seeing(rows))
    if row.estimate is None or refuted_not_significant(row):
        beside = f"refuted alone, but {row.n_comparisons} claims give one such by chance"
        return sentence("Inconclusive", row, about, (beside, *more), ADD_ITEMS)
    units = row.estimate.generalises_over
    n = n_that_settles(row.estimate, row.bounds)
    missing = max(1, n - row.estimate.n) if n else 0  # so many would do in four cases of five, and it is the fifth
    settles = f"about {missing} more {units} would settle it" if n else f"too near for any number of {units}"
    return sentence("Inconclusive", row, about, (settles, *more), advice_for(row, units))


def advice_for(row: ClaimResult, units: str) -> str:
    if units == "seeds" or not row.stage:
        return "Train more seeds, as with --seeds=3"
    if units == "roundings" and row.estimate is not None:
        return f"Hold it to more twins, as with --twins={2 * row.estimate.n}"
    return ADD_ITEMS if units == "items" else WIDEN.format(units=units) + WARN


def not_shown(row: ClaimResult, about: About) -> Headline:
    """Nothing is wrong beside what was declared, and nothing says that this is good enough."""
    return Headline(
        outcome="Inconclusive", about=about.title, claim=row.claim,
        thing=f"nothing shows that it is good enough: {row.reason.rstrip('.')}",
        advice="Ask what it must still be able to do, with --tasks",
    )  # fmt: skip


def nothing_tested(rows: Sequence[ClaimResult], about: About) -> Headline:
    """Nothing that was asked for could be tested, or nothing about what the model does."""
    blind = [row for row in rows if row.outcome is Outcome.NOT_TESTABLE]
    if not blind and not about.limits:
        return Headline(
            outcome="Inconclusive", about=about.title, thing=f"{len(rows)} claims were judged, all informational",
            advice="Nothing is blocked and nothing promised: read the figures in the report",
        )  # fmt: skip
    if not blind:
        return Headline(
            outcome="Inconclusive", about=about.title, thing="no required claim was judged", more=partly(about),
            advice="Judge all of them: leave --claims, -k and --last-stage out",
        )  # fmt: skip
    what = "what the model does" if len(blind) < len(rows) else "anything"
    return Headline(
        outcome="Inconclusive", about=about.title, claim=blind[0].claim, more=others(len(blind) - 1),
        thing=f"no claim about {what} could be tested, as {blind[0].reason.rstrip('.')}",
        advice="Ask what the baseline can do, with --tasks or --testbed",
    )  # fmt: skip


def accepted(rows: Sequence[ClaimResult], about: About) -> Headline:
    tested = [row for row in rows if row.required and row.outcome is not Outcome.NOT_TESTABLE]
    held = [row for row in tested if row.outcome is Outcome.SUPPORTED]
    more = [*partly(about)]
    for count, what in (
        (sum(row.known_failure for row in tested), "known to fail"),
        (sum(map(inconclusive, tested)), "inconclusive, which --inconclusive=warn allows"),
    ):
        more += [f"{count} {what}"] if count else []
    thing = f"{seeing(rows)}, and {len(held)} hold"
    nearest = max(held, key=share_of_margin, default=None)
    if nearest is None or nearest.estimate is None or not share_of_margin(nearest):
        return Headline(outcome="Accepted", about=about.title, thing=thing, more=tuple(more), advice=NEXT)
    estimate = nearest.estimate
    return Headline(
        outcome="Accepted", about=about.title, thing=f"{thing}, nearest to its limit {estimate.estimand}",
        claim=nearest.claim, size=measured(estimate), place=estimate.where, allowed=allowed(nearest),
        more=tuple(more), advice=NEXT,
    )  # fmt: skip


def partly(about: About) -> tuple[str, ...]:
    return (f"only a part was asked for ({', '.join(about.limits)})",) if about.limits else ()


def share_of_margin(row: ClaimResult) -> float:
    """How much of its margin the interval takes up: 1 at the bound, 0 where there is no margin."""
    if row.estimate is None:
        return 0.0
    low, high = row.bounds
    sides = [(row.estimate.low, low), (row.estimate.high, high)]
    return max((end / bound for end, bound in sides if bound and (end < 0) == (bound < 0)), default=0.0)
