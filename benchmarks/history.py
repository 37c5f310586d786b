"""Thirty weekly checkpoints that lose half a margin a month: what the gate says, with and without a pinned baseline.

`make history` simulates a task of 449 items, as `common` has, and its claim, no worse by 5 points. It writes
docs/history.md: one simulated history as `depthgauge history` draws it, after the weeks at which many were blocked.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import norm

from depthgauge.core.claim import Claim
from depthgauge.core.estimate import Scores
from depthgauge.core.result import FAMILYWISE_ERROR_RATE, Outcome, Verdict
from depthgauge.core.verdict import at_least, judge, p_value
from depthgauge.history.gated_runs import FILE, Figure, GatedRun, append
from depthgauge.report.trend import PAGE, PICTURE, write_trend
from depthgauge.stats import paired_difference

WEEKS, ITEMS, RUNS, MARGIN = 30, 449, 200, 5.0
# required claims of a run against an accepted baseline with a pinned baseline: what is refuted must stand beside them
N_COMPARISONS = 22
DRIFT = MARGIN / 2 / (52 / 12)  # points a week: half a margin a month
START, CHURN = 0.6, 0.15  # right at first; noise of an item's difficulty, which flips 7 % of answers a week
DOCS = Path(__file__).parents[1] / "docs"
NOT_WORSE = Claim(
    id="task-not-worse[task]",
    statement="is no worse",
    citation="-",
    published="-",
    region=at_least(-MARGIN),
    unit="points",
    control="-",
    rationale="-",
)
HEAD = """# A drift that no single step shows

Made by `make history`: {weeks} simulated weekly checkpoints, each {drift:.2f} points worse in a task of {items} items
than the one before (half a margin a month, the margin being {margin:g} points); {flips:.0%} of the answers change in a
week without any drift. A checkpoint is blocked where its refutation stands beside the {family} required claims of a
run. Of {runs} such histories,

- compared with the checkpoint accepted last alone, {alone} were blocked within {weeks} weeks, by when the model had
lost {lost:.0f} points; - compared with the pinned baseline too, {caught} were: in week {middle:.0f} at the median
({low:.0f} to {high:.0f} in four of five), when it had lost {at:.1f} points. Without any drift, {false} of {runs} were
blocked in {weeks} weeks.

Below is the first of them, drawn by `depthgauge history`.

"""


def scores(difficulty: np.ndarray, right: float, random: np.random.Generator) -> Scores:
    """The points of a checkpoint that answers a share of the items right, the easier ones rather."""
    noisy = difficulty + CHURN * random.normal(size=len(difficulty))
    values = 100.0 * (noisy < np.hypot(1, CHURN) * norm.ppf(right))
    ids = tuple(map(str, range(len(values))))
    return Scores(ids=ids, values=values[None], unit="points", population="items", right=100.0)


def weekly(seed: int, drift: float, *, pinned: bool) -> Iterator[dict[str, Verdict]]:
    """What is said of each week's checkpoint against the last that was accepted, and against the first."""
    random = np.random.default_rng(seed)
    difficulty = random.normal(size=ITEMS)
    baseline_sets = {NOT_WORSE.id: scores(difficulty, START, random)}
    if pinned:
        baseline_sets[f"{NOT_WORSE.id}[pinned]"] = baseline_sets[NOT_WORSE.id]
    for week in range(1, WEEKS + 1):
        candidate = scores(difficulty, START - drift * week / 100, random)
        said = {
            name: judge(NOT_WORSE, paired_difference(candidate, baseline, estimand="candidate - baseline"))
            for name, baseline in baseline_sets.items()
        }
        yield said
        if not any(map(blocks, said.values())):
            baseline_sets[NOT_WORSE.id] = candidate


def blocks(verdict: Verdict) -> bool:
    """Whether a refutation stands beside the run's other claims, as `adjusted` judges it where no other is refuted."""
    refuted = verdict.outcome is Outcome.REFUTED and verdict.estimate is not None
    return refuted and N_COMPARISONS * (p_value(verdict.estimate, NOT_WORSE.region) or 0) < FAMILYWISE_ERROR_RATE


def blocked(seed: int, drift: float, *, pinned: bool) -> int | None:
    """The first week in which a checkpoint is blocked; None if none is."""
    history = enumerate(weekly(seed, drift, pinned=pinned), 1)
    return next((week for week, said in history if any(map(blocks, said.values()))), None)


def gated_run(week: int, said: dict[str, Verdict]) -> GatedRun:
    figures = {name: figure_of(one) for name, one in said.items()}
    inconclusive = any(one.outcome is not Outcome.SUPPORTED for one in said.values())
    code = 1 if any(map(blocks, said.values())) else 20 if inconclusive else 0
    return GatedRun(
        started=f"week {week}", checkpoint=f"week-{week}", fingerprint=f"{week:016}", baseline="last accepted",
        exit_code=code, claims=figures,
    )  # fmt: skip


def figure_of(verdict: Verdict) -> Figure:
    one = verdict.estimate
    assert one is not None
    return Figure(one.point, one.low, one.high, one.unit, NOT_WORSE.region.bounds, verdict.outcome)


def head() -> str:
    alone = [blocked(seed, DRIFT, pinned=False) for seed in range(RUNS)]
    caught = [week for seed in range(RUNS) if (week := blocked(seed, DRIFT, pinned=True)) is not None]
    false = [blocked(seed, 0, pinned=True) for seed in range(RUNS)]
    low, middle, high = np.quantile(caught, [0.1, 0.5, 0.9])
    random = np.random.default_rng(0)
    difficulty = random.normal(size=100_000)
    one, other = (scores(difficulty, START, random).values for _ in range(2))
    figures = dict(
        weeks=WEEKS, family=N_COMPARISONS, drift=DRIFT, items=ITEMS, margin=MARGIN, runs=RUNS, lost=WEEKS * DRIFT,
        flips=float((one != other).mean()), alone=sum(week is not None for week in alone), caught=len(caught),
        middle=middle, low=low, high=high, at=middle * DRIFT, false=sum(week is not None for week in false),
    )  # fmt: skip
    return HEAD.format(**figures)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        history = Path(place) / FILE
        for week, said in enumerate(weekly(0, DRIFT, pinned=True), 1):
            append(history, gated_run(week, said))
        drawn = write_trend(history)
        page = drawn.read_text().replace("# History\n", "## History\n").replace("\n## ", "\n### ")
        (DOCS / PAGE).write_text(head() + page)
        shutil.copy(drawn.with_name(PICTURE), DOCS / PICTURE)
    print((DOCS / PAGE).read_text().partition("Below")[0])


if __name__ == "__main__":
    main()
