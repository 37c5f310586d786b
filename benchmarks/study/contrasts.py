"""The seven claims of docs/study-plan.md, and what the cells of the main study say about each, paired by seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.study.plan import MAIN, ON_SMOLLM2, SEEDS, Cell, Results
from benchmarks.study.tables import row
from depthgauge.core.verdict import holm
from depthgauge.page.tables import markdown

LEVEL = 0.95
LEAST_SEEDS = 2  # of which a difference has a spread


class Contrast(NamedTuple):
    """One measure, which is a column of cells.csv, of one method less another's."""

    measure: str
    method: str
    other: str


class Statement(NamedTuple):
    """What is claimed of the first contrast, which decides: 'above', 'below' or 'not below' 0. Others are reported."""

    text: str
    claimed: str
    contrasts: tuple[Contrast, ...]


class Finding(NamedTuple):
    """A contrast over the seeds that both methods have: the mean of the differences, its interval and p against 0."""

    seeds: int
    mean: float
    low: float
    high: float
    p: float


def each_over_grpo(measures: Sequence[str]) -> tuple[Contrast, ...]:
    """Depth scaling first, as in docs/study-plan.md."""
    methods = ["depthscaled", *(name for name in MAIN if name not in ("depthscaled", "grpo"))]
    return tuple(Contrast(measure, method, "grpo") for method in methods for measure in measures)


STATEMENTS = (
    Statement("science rises most with depth scaling", "above", (
        Contrast("science", "depthscaled", "gradreg"), Contrast("science", "gradreg", "grpo"),
    )),
    Statement("nothing is lost elsewhere", "not below", each_over_grpo(("history", "mathematics"))),
    Statement("early layers move more under depth scaling", "above", (
        Contrast("early_moved", "depthscaled", "gradreg"), Contrast("early_moved", "depthscaled", "gradreg_matched"),
    )),
    Statement("noise tightens late bands", "below", (
        Contrast("late_relative_deviation", "depthscaled", "depthscaled_nonoise"),
    )),
    Statement("regularising raises confidence in a wrong answer", "above", (
        Contrast("wrong_answer", "gradreg", "grpo"),
    )),
    Statement("the noise's direction matters", "below", tuple(
        Contrast(measure, "depthscaled", "depthscaled_random")
        for measure in ("late_relative_deviation", "wrong_answer", "science")
    )),
    Statement("what is published is the penalty and not rounding", "not below", tuple(
        Contrast(measure, "gradreg_published", "gradreg") for measure in ("penalty_fidelity", "science")
    )),
)  # fmt: skip


def differences(results: Results, testbed: str, contrast: Contrast) -> list[float]:
    """By seed, of those of which both cells are there and have the measure."""

    def value(method: str, seed: int) -> float | None:
        name = Cell(phase="main", testbed=testbed, method=method, seed=seed).name
        return row(name, results[name]).get(contrast.measure) if name in results else None

    pairs = [(value(contrast.method, seed), value(contrast.other, seed)) for seed in SEEDS[testbed]]
    return [own - other for own, other in pairs if own is not None and other is not None]


def finding(values: Sequence[float]) -> Finding | None:
    """None below two seeds. Differences that are all the same have an interval of one point, and a p of 0 or 1."""
    if len(values) < LEAST_SEEDS:
        return None
    mean = float(np.mean(values))
    if np.ptp(values) == 0:
        return Finding(len(values), mean, mean, mean, float(mean == 0))
    test = stats.ttest_1samp(values, 0)
    low, high = test.confidence_interval(LEVEL)
    return Finding(len(values), mean, float(low), float(high), float(test.pvalue))


def verdicts(results: Results, testbed: str) -> list[str]:
    """A word for each statement: 'not complete' for all until no cell of its first contrast is missing in any."""
    methods = MAIN if testbed == "pocket" else ON_SMOLLM2
    asked = [each for each in STATEMENTS if {each.contrasts[0].method, each.contrasts[0].other} <= set(methods)]
    findings = {each.text: finding(differences(results, testbed, each.contrasts[0])) for each in asked}
    complete = all(found is not None and found.seeds == len(SEEDS[testbed]) for found in findings.values())
    if not complete:
        return ["not complete" if each in asked else "not asked here" for each in STATEMENTS]
    ps = holm([found.p for found in findings.values() if found is not None])
    adjusted = dict(zip(findings, ps, strict=True))
    return [
        word(findings[each.text], each.claimed, adjusted[each.text]) if each in asked else "not asked here"
        for each in STATEMENTS
    ]


def word(found: Finding | None, claimed: str, p: float) -> str:
    assert found is not None
    decided = "SUPPORTED" if (found.mean < 0) == (claimed == "below") else "REFUTED"
    return f"{decided if p <= 1 - LEVEL else 'INCONCLUSIVE'} (p {p:.2g} after Holm)"


def contrasts_table(results: Results, testbed: str) -> str:
    """Every contrast with its interval over seeds, and the verdict beside that which decides."""
    methods = MAIN if testbed == "pocket" else ON_SMOLLM2
    lines = []
    for statement, verdict in zip(STATEMENTS, verdicts(results, testbed), strict=True):
        for place, contrast in enumerate(statement.contrasts):
            if {contrast.method, contrast.other} <= set(methods):
                found = finding(differences(results, testbed, contrast))
                shown = f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]" if found else ""
                lines.append([
                    statement.text if place == 0 else "", contrast.measure, f"{contrast.method} - {contrast.other}",
                    f"{statement.claimed} 0" if place == 0 else "", shown,
                    str(found.seeds if found else 0), verdict if place == 0 else "",
                ])  # fmt: skip
    return markdown(["claim", "measure", "contrast", "claimed", "difference [95 %]", "seeds", "verdict"], lines)
