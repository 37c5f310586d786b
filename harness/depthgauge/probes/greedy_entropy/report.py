"""The section on greedy traces: how sure a checkpoint is of what it says, and how it repeats itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement, Scores
from depthgauge.page.escape import escape
from depthgauge.page.layers import curves, interval, legend_beside, paired, pairs, plain, reference_of, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import (
    SMOOTHING_STEPS,
    STEPS,
    collapse_step,
    first_repeat_step,
    loop,
    smoothed,
)
from depthgauge.probes.greedy_entropy.probe import Opening

ALT = "Greedy entropy traces with bands"
WHAT_IT_SAYS = f"""### What it says

Greedy, {STEPS} tokens, end-of-text or not."""

SUMMARIES: dict[str, Callable[[Measurement], str]] = {
    "mean entropy (nats)": lambda m: cell(level(m.arrays["entropy_nats"].mean(1), "nats", "prompts")),
    "peak entropy (nats)": lambda m: cell(level(m.arrays["entropy_nats"].max(1), "nats", "prompts")),
    f"peak over {SMOOTHING_STEPS} steps (nats)": lambda m: cell(
        level(smoothed(m.arrays["entropy_nats"]).max(1), "nats", "prompts")
    ),
    f"least over {SMOOTHING_STEPS} steps (nats)": lambda m: cell(
        level(smoothed(m.arrays["entropy_nats"]).min(1), "nats", "prompts")
    ),
    "prompts that collapse": lambda m: ratio(collapse_step(row) for row in m.arrays["entropy_nats"]),
    "median collapse step": lambda m: middle(collapse_step(row) for row in m.arrays["entropy_nats"]),
    "median first-repeat step": lambda m: middle(first_repeat_step(row) for row in m.arrays["token_ids"]),
    "prompts that end in a loop": lambda m: ratio(loop(row) for row in m.arrays["token_ids"]),
    "median loop period (tokens)": lambda m: middle(
        cycle and cycle.period for cycle in map(loop, m.arrays["token_ids"])
    ),
    "median pre-period (tokens)": lambda m: middle(
        cycle and cycle.pre_period for cycle in map(loop, m.arrays["token_ids"])
    ),
    "bigram diversity": lambda m: cell(level(diversities(m, 2), "ratio", "prompts")),
    "trigram diversity": lambda m: cell(level(diversities(m, 3), "ratio", "prompts")),
}

COMPARED: dict[str, Callable[..., Any]] = {"mean entropy": np.mean, "peak entropy": np.max}  # what claims are about


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """How sure of each token, how repetitive, and what is said after the first opening."""
    size = (9, 3.8 + (1.0 + 0.3 * len(pairs(measured, entropy)) if pairs(measured, entropy) else 0))
    picture = Picture("entropy.png", ALT, size, lambda figure: draw(figure, measured, setting), measured)
    opening = setting.testbed.inputs(Opening)[0]
    parts = (picture, trace_table(measured), WHAT_IT_SAYS, text_table(measured, opening))
    yield Section("Entropy and diversity", parts)


def trace_table(measured: Sequence[Measured]) -> Table:
    body = [[name, *(summary(entry.measurement) for entry in measured)] for name, summary in SUMMARIES.items()]
    return Table([f"greedy trace of {STEPS} tokens", *(escape(entry.label) for entry in measured)], body)


def text_table(measured: Sequence[Measured], opening: str) -> Table:
    """What each checkpoint says after an opening, escaped."""
    body = [[escape(entry.label), escape(str(entry.arrays["text"][0]))] for entry in measured]
    return Table(["checkpoint", f"after: {escape(opening)}"], body, quotes=True)


def diversities(measurement: Measurement, n: int) -> NDArray[np.float64]:
    return np.array([ngram_diversity(row, n) for row in measurement.arrays["token_ids"]])


def ratio(values: Iterable[object]) -> str:
    seen = [value is not None for value in values]
    return f"{sum(seen)} of {len(seen)}"


def middle(values: Iterable[float | None]) -> str:
    seen = [value for value in values if value is not None]
    return f"{median(seen):g}" if seen else "-"


# -- the picture ---


def draw(figure: Any, shown: Sequence[Measured], setting: Setting) -> None:
    """Mean entropy by step; below it, how means and peaks of traces differ from the reference's, by opening."""
    rows = 2 * len(pairs(shown, entropy))
    panels = figure.subplots(2 if rows else 1, 1, squeeze=False, height_ratios=(3, 0.4 + 0.25 * rows)[: 1 + bool(rows)])
    axes = panels[0, 0]
    curves(axes, shown, setting, entropy, steps, "nats")
    axes.set(xlabel="generated token (0-based)", ylabel="entropy (nats)")
    axes.set_title("Greedy entropy: mean over openings, simultaneous 95 % bands")
    axes.set_ylim(bottom=0)
    whole_numbers(axes.xaxis)
    legend_beside(axes)
    if rows:
        draw_differences(panels[1, 0], shown, setting)


def draw_differences(axes: Any, shown: Sequence[Measured], setting: Setting) -> None:
    """The paired differences that claims are about: of each opening's mean entropy, and of its peak."""
    reference, others = reference_of(shown), pairs(shown, entropy)
    axes.axvline(0, color=setting.colour(reference), linewidth=0.8)
    for block, summary in enumerate(COMPARED.values()):
        for place, entry in enumerate(others, block * (len(others) + 1)):
            change = paired(scores(entry, summary), scores(reference, summary))
            if change is not None:
                interval(axes, change, place, entry, shown, setting)
    middle = (len(others) - 1) / 2
    axes.set_yticks([middle, middle + len(others) + 1], list(COMPARED))
    axes.set_ylim(2 * len(others) + 1, -1)
    axes.set(xlabel="nats", title=f"Paired difference to {plain(reference.label)}, 95 % intervals over openings")


def steps(entry: Measured) -> NDArray[np.int64]:
    return np.arange(entry.arrays["entropy_nats"].shape[1])


def entropy(entry: Measured) -> NDArray[np.float64]:
    return np.asarray(entry.arrays["entropy_nats"], float)


def scores(entry: Measured, summary: Callable[..., Any]) -> Scores:
    values = summary(entropy(entry), axis=1)
    return Scores(ids=tuple(map(str, range(len(values)))), values=values[None], unit="nats", population="prompts")
