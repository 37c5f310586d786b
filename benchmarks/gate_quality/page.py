"""What was judged, as docs/gate-quality.md and its plot of power against dose."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.gate_quality import strangers_page
from benchmarks.gate_quality.kinds import FAULTS, HARMLESS, fixed, on_files
from benchmarks.gate_quality.pairs import COSTS
from benchmarks.gate_quality.pairs import results as recorded
from benchmarks.gate_quality.resampled import RESAMPLED
from benchmarks.gate_quality.strangers import ROWS as STRANGERS
from benchmarks.gate_quality.successors import SUCCESSOR
from depthgauge.page.tables import markdown

DOCS = Path(__file__).parents[2] / "docs"
CAUGHT, OPEN = (1, 21), 20
OFTEN, ENOUGH = 0.8, 5  # a dose counts as caught where four in five of at least so many places were
Result = Mapping[str, Any]
HEAD = """# How often the gate is wrong

Made by `make gate-quality` from benchmarks/gate_quality/quality.jsonl, which has every pair of pocket and SmolLM2 that
was judged, by the gate as it was before decision 041, and strangers.jsonl, which has those of other models. A pair is
a checkpoint and a copy of it with one thing changed; it is judged as `depthgauge compare` judges it, expected to be
equal, from stage 0 to the stage that blocks. A healthy successor is one method's checkpoint after another's, or after
the base. Blocked is exit 1 or 21, open is exit 20. Bounds are Clopper and Pearson's, at 95 %; a fault that is the same
wherever it is planted is judged once a dose, and has none. Seconds are those of two cores that had other work, too. The
successor of pocket that is blocked, gradreg's seed 2 after grpo's seed 1, answers 9.7 [6.6, 12.7] points fewer
questions than the checkpoint before it: a training that went worse, and was told from its siblings. Five of those
inconclusive come to the same checkpoint, and four from the base; of these, grpo's seed 0 loops after 21 [14, 28] % more
of the openings, where 20 % are allowed. Of prompts resampled, the texts, openings and items of a rounded copy are drawn
again with replacement, and what is stored of them is judged. What a dose costs is measured apart, by `python -m
benchmarks.gate_quality.damage`, at three places: the mean next-token divergence of 64 texts, and the points lost in the
task.
"""


def of(results: Iterable[Result], **fields: Any) -> list[Result]:
    return [one for one in results if fields.items() <= one.items()]


def caught(results: Sequence[Result]) -> int:
    return sum(one["exit"] in CAUGHT for one in results)


def smallest_caught(results: Sequence[Result], testbed: str, kind: str) -> float | None:
    """The smallest dose, in the order of doses from mild to severe, of which four in five places were caught."""
    for dose in FAULTS[kind].doses:
        found = of(results, testbed=testbed, kind=kind, dose=dose)
        if len(found) >= (1 if fixed(FAULTS[kind]) else ENOUGH) and caught(found) >= OFTEN * len(found):
            return dose
    return None


def share(count: int, n: int) -> str:
    low, high = binomtest(count, n).proportion_ci(0.95, "exact")
    return f"{count} of {n} [{low:.2f}, {high:.2f}]"


def write(results: Sequence[Result]) -> None:
    (DOCS / "gate-quality.md").write_text(text(results))
    draw(results, DOCS / "gate-quality.png")


def text(results: Sequence[Result]) -> str:
    parts = [HEAD, strangers_page.text(recorded(STRANGERS))]
    for testbed in dict.fromkeys(one["testbed"] for one in results):
        its = of(results, testbed=testbed)
        parts += [f"## {testbed}\n", *false_alarms(its), *faults(its, testbed)]
    parts.append("![Share of places at which a fault is caught, by dose](gate-quality.png)\n")
    return "\n".join(parts)


def false_alarms(results: Sequence[Result]) -> list[str]:
    found = {kind: of(results, kind=kind) for kind in (*HARMLESS, RESAMPLED)}
    every = [one for its in found.values() for one in its]
    rows = [harmless_row(kind, its) for kind, its in found.items() if its]
    rows += [harmless_row("all rewritings", every)] if every else []
    successors = of(results, kind=SUCCESSOR)
    rows += [harmless_row(f"{SUCCESSOR}, expected trained", successors)] if successors else []
    headers = ("what is harmless", "blocked", "inconclusive", "seconds, median")
    return ["### False alarms\n", markdown(headers, rows) + "\n"] if rows else []


def harmless_row(kind: str, results: Sequence[Result]) -> list[str]:
    inconclusive = sum(one["exit"] == OPEN for one in results)
    return [kind, share(caught(results), len(results)), share(inconclusive, len(results)), seconds(results)]


def faults(results: Sequence[Result], testbed: str) -> list[str]:
    headers = (
        "fault", "caught by dose (places)", "caught at", "how often there", "costs by dose (nats / points)",
        "layer named first", "seen by", "seconds, median",
    )  # fmt: skip
    judged = [kind for kind in FAULTS if of(results, kind=kind)]
    rows = [fault_row(kind, of(results, kind=kind), testbed) for kind in judged]
    means = markdown(("fault", "what is done, by dose"), [[kind, FAULTS[kind].summary] for kind in judged])
    missing = [kind for kind in [*FAULTS, *HARMLESS] if not of(results, kind=kind)]
    not_yet = [f"Not judged yet: {', '.join(missing)}.\n"] if missing else []
    return ["### Planted faults\n", markdown(headers, rows) + "\n", means + "\n", *not_yet]


def fault_row(kind: str, results: Sequence[Result], testbed: str) -> list[str]:
    by_dose = {dose: of(results, dose=dose) for dose in FAULTS[kind].doses}
    swept = ", ".join(f"{dose:.3g}: {caught(its)}/{len(its)}" for dose, its in by_dose.items() if its)
    dose, costs = smallest_caught(results, testbed, kind), costs_by_dose(kind, testbed)
    if dose is None:
        return [kind, swept, "no dose tried", "-", costs, "-", "-", seconds(results)]
    there = by_dose[dose]
    return [kind, swept, f"{dose:.3g}", often(kind, there), costs, layers(there), seen_by(there), seconds(there)]


def costs_by_dose(kind: str, testbed: str) -> str:
    """The mean of a few places at each dose: nats of next-token divergence, and points lost in the task."""
    taken = of(recorded(COSTS), testbed=testbed, kind=kind)
    by_dose = {dose: of(taken, dose=dose) for dose in FAULTS[kind].doses}
    return (
        ", ".join(
            f"{dose:.3g}: {mean(its, 'kl_nats'):.2g} / {mean(its, 'lost_points'):.1f}"
            for dose, its in by_dose.items()
            if its
        )
        or "-"
    )


def mean(results: Sequence[Result], name: str) -> float:
    return sum(one[name] for one in results) / len(results)


def often(kind: str, results: Sequence[Result]) -> str:
    return "always" if fixed(FAULTS[kind]) else share(caught(results), len(results))


def layers(results: Sequence[Result]) -> str:
    """How often the layer at fault is the first that is named, of the faults caught that have one."""
    placed = [one for one in results if one["at"] and one["exit"] in CAUGHT]
    return f"{sum(one['layer'] in one['at'] for one in placed)} of {len(placed)}" if placed else "-"


def seen_by(results: Sequence[Result]) -> str:
    stages = [one["stage"] or "refused" for one in results if one["exit"] in CAUGHT]
    return ", ".join(dict.fromkeys(sorted(stages, key=stages.count, reverse=True)))


def seconds(results: Sequence[Result]) -> str:
    ordered = sorted(one["seconds"] for one in results)
    return f"{ordered[len(ordered) // 2]:.1f}"


def draw(results: Sequence[Result], path: Path) -> None:
    """A line a fault that has several doses: the share of places caught, against the dose's place in the sweep."""
    from matplotlib.figure import Figure

    kinds = [
        kind
        for kind, fault in FAULTS.items()
        if len(fault.doses) > 1 and not on_files(fault) and of(results, kind=kind)
    ]
    columns = 4
    figure = Figure(figsize=(11, 2.1 * -(-len(kinds) // columns)), layout="constrained")
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(-(-len(kinds) // columns), columns, place + 1)
        by_dose = {f"{dose:.3g}": of(results, kind=kind, dose=dose) for dose in FAULTS[kind].doses}
        shares = {dose: caught(its) / len(its) for dose, its in by_dose.items() if its}
        axes.plot(list(shares), list(shares.values()), "o-", color="#0072B2", clip_on=False)
        axes.axhline(OFTEN, color="gray", linewidth=0.8, linestyle=":")
        axes.set(ylim=(0, 1), xlabel="dose", title=kind)
        axes.title.set_fontsize(9)
    figure.supylabel("share of places at which it is caught")
    figure.savefig(path, dpi=110)
