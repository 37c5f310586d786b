"""Whether two commits measure the same: the estimates in reports of one, beside those of the other.

    python -m benchmarks.behaviour NAME=EARLIER/report.json,LATER/report.json ...

prints a line a pair of reports, and below it every row that differs: in its estimate, its outcome, its control's
outcome or its adjusted p. Exit 1 where an estimate or an outcome differs. Claims are matched by their ids; `RENAMED`
has those of e38960a, the last commit before the layout of four packages, that have another id since.
"""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

TOLERANCE = 1e-6  # of an estimate's point and the ends of its interval, absolute, and relative above 1
RENAMED = {
    "change-has-the-generators-rank": "change-has-generator-rank",
    "changed-attention-on-fragments": "attention-change-on-formula-tokens",
    "changed-mlp-reassembles": "changed-mlp-detokenizes-formulas",
    "does-what-it-is-asked": "instruction-following-not-worse",
    "early-factors-are-about-words": "early-factors-are-word-level",
    "entropy-unchanged": "entropy-within-margin",
    "even-heads-repair-and-odd-do-not": "even-heads-restore-odd-do-not",
    "factors-have-levels": "factors-have-layer-ranges",
    "formulae-fragment": "formulas-tokenized-into-more-pieces",
    "heads-look-where-they-did": "attention-within-margin",
    "induction-heads-carry-the-repeat": "induction-heads-explain-repetition",
    "induction-still-there": "induction-head-within-margin",
    "likeliest-token-unchanged": "top-token-within-margin",
    "loops-no-more": "repetition-not-increased",
    "massive-values-serve-context": "massive-values-needed-for-context",
    "next-token-unchanged": "next-token-within-margin",
    "no-layer-out-of-line": "no-outlier-layer",
    "norms-and-embeddings-unmoved": "norms-and-embeddings-within-margin",
    "not-worse": "task-not-worse",
    "nothing-else-is-generated": "other-matrices-unchanged",
    "penalty-is-felt": "penalty-is-effective",
    "perturbation-is-numerically-there": "perturbation-survives-rounding",
    "repair-has-a-threshold": "restoration-has-threshold",
    "residual-stream-unchanged": "residual-stream-within-margin",
    "samples-told-from-the-base": "samples-distinguishable-from-base",
    "science-known-over-base": "science-recognised-over-base",
    "sinks-still-there": "attention-sinks-within-margin",
    "skills-in-order-of-depth": "skills-ordered-by-depth",
    "weights-moved": "weights-changed",
    "weights-unmoved": "weights-within-margin",
}
HEADERS = (
    "reports", "rows in both", "of them with an estimate", "greatest difference", "estimates differ", "outcomes differ",
    "adjusted p differs", "rows in one alone", "exit codes",
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What one claim came to in two reports: `what` of it differs, from `earlier` to `later`."""

    claim: str
    what: str
    earlier: object
    later: object


@dataclass(frozen=True, slots=True)
class Pair:
    """The rows of two reports by the later id of their claim, with the exit codes of both runs."""

    name: str
    earlier: Mapping[str, Row]
    later: Mapping[str, Row]
    exit_codes: tuple[int, int]

    @property
    def both(self) -> list[str]:
        return [claim for claim in self.later if claim in self.earlier]

    @property
    def alone(self) -> list[str]:
        return sorted(self.earlier.keys() ^ self.later.keys())


def read(name: str, earlier: Path, later: Path) -> Pair:
    records = [json.loads(path.read_text()) for path in (earlier, later)]
    rows = [{later_id(row["claim"]): row for row in record["verdicts"]} for record in records]
    return Pair(name, rows[0], rows[1], (records[0]["exit_code"], records[1]["exit_code"]))


def later_id(claim: str) -> str:
    """The id that a claim has today; what it is about, in brackets, stays."""
    match = re.fullmatch(r"([^\[]+)(\[.*\])?", claim)
    assert match is not None, claim
    return RENAMED.get(match[1], match[1]) + (match[2] or "")


def distance(earlier: Row | None, later: Row | None) -> float:
    """The greatest difference of two estimates' points and ends; infinite where only one is there, or they have
    another unit or n.
    """
    if earlier is None or later is None:
        return 0.0 if earlier is later else math.inf
    if (earlier["unit"], earlier["n"]) != (later["unit"], later["n"]):
        return math.inf
    ends = [(float(earlier[end]), float(later[end])) for end in ("point", "low", "high")]
    return max(0.0 if one == other else abs(one - other) / max(1.0, abs(one)) for one, other in ends)


def differences(pair: Pair) -> Iterator[Difference]:
    for claim in pair.both:
        earlier, later = pair.earlier[claim], pair.later[claim]
        if distance(earlier["estimate"], later["estimate"]) > TOLERANCE:
            yield Difference(claim, "estimate", shown(earlier["estimate"]), shown(later["estimate"]))
        for field in ("outcome", "control_outcome"):
            if earlier[field] != later[field]:
                yield Difference(claim, field, earlier[field], later[field])
        if (earlier["holm_p"], earlier["p"]) != (later["holm_p"], later["p"]):
            ps = [f"p {number(row['p'])}, adjusted {number(row['holm_p'])}" for row in (earlier, later)]
            yield Difference(claim, "adjusted p", *ps)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def shown(estimate: Row | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate['point']} [{estimate['low']}, {estimate['high']}] {estimate['unit']}, n = {estimate['n']}"


def line_of(pair: Pair, found: list[Difference]) -> tuple[object, ...]:
    estimated = [claim for claim in pair.both if pair.later[claim]["estimate"] is not None]
    distances = [distance(pair.earlier[claim]["estimate"], pair.later[claim]["estimate"]) for claim in estimated]
    count = [sum(one.what in kinds for one in found) for kinds in KINDS]
    codes = " and ".join(map(str, pair.exit_codes))
    return (
        pair.name, len(pair.both), len(estimated), f"{max(distances, default=0.0):.1e}", *count, len(pair.alone), codes
    )  # fmt: skip


KINDS = (("estimate",), ("outcome", "control_outcome"), ("adjusted p",))


def main(words: list[str]) -> int:
    pairs = []
    for word in words:
        name, _, paths = word.partition("=")
        earlier, later = paths.split(",")
        pairs.append(read(name, Path(earlier), Path(later)))
    found = {pair.name: list(differences(pair)) for pair in pairs}
    print(tabulate([line_of(pair, found[pair.name]) for pair in pairs], headers=HEADERS, tablefmt="github"))
    for pair in pairs:
        if rows := [(one.claim, one.what, one.earlier, one.later) for one in found[pair.name]]:
            print(f"\n{pair.name}, what differs:\n")
            print(tabulate(rows, headers=("claim", "what", "earlier", "later"), tablefmt="github"))
        if pair.alone:
            where = [f"{claim} ({'earlier' if claim in pair.earlier else 'later'})" for claim in pair.alone]
            print(f"\n{pair.name}, in one alone: {', '.join(where)}")
    return int(any(one.what != "adjusted p" for rows in found.values() for one in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
