"""The study's pictures: every measure by method, and what a gain costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.study.contrasts import finding
from benchmarks.study.plan import MAIN, Results
from benchmarks.study.tables import row
from depthgauge.page.section import Picture
from depthgauge.page.style import colours_of

MEASURES = {
    "science": "science, share right", "history": "history, share right", "mathematics": "mathematics, share right",
    "entropy_80": "entropy of 80 steps (nats)", "smoothed_peak_80": "peak over 5 steps (nats)",
    "loops": "texts that loop, share", "bigrams_80": "bigrams that are new, share",
    "wrong_answer": "probability of a wrong answer", "late_relative_deviation": "late bands, over sqrt(p(1 - p))",
    "early_moved": "early layers moved, relative",
    "penalty_ratio": "penalty over gradient", "penalty_fidelity": "penalty's cosine to the exact one",
}  # fmt: skip
# What is gained against what it takes or costs: x and y are measures.
AGAINST = {
    "penalty": ("penalty_ratio", "science"),
    "compute": ("training_s", "science"),
    "entropy": ("entropy_80", "science"),
    "robustness": ("late_relative_deviation", "science"),
}
TITLES = MEASURES | {"training_s": "seconds of training"}
ACROSS = 3  # panels in a line


def drawn(results: Results, testbed: str) -> list[dict[str, Any]]:
    """The rows of the main study's cells on a testbed that have been measured."""
    there = results.items()
    return [row(name, found) for name, found in there if name.startswith(f"main-{testbed}-") and "failed" not in found]


def pictures_of(results: Results, testbed: str) -> list[Picture]:
    rows = drawn(results, testbed)
    return [by_method(rows, testbed), trade_offs(rows, testbed)] if rows else []


def values(rows: Sequence[dict[str, Any]], method: str, measure: str) -> list[float]:
    """Of every seed that has it."""
    return [each[measure] for each in rows if each["method"] == method and each.get(measure) is not None]


def by_method(rows: Sequence[dict[str, Any]], testbed: str) -> Picture:
    """A panel a measure: a dot a seed, and the mean with its 95 % interval over seeds."""
    methods = [name for name in MAIN if any(each["method"] == name for each in rows)]
    colours = colours_of(methods)

    def draw(figure: Any) -> None:
        panels = list(figure.subplots(-(-len(MEASURES) // ACROSS), ACROSS, sharex=True).flat)
        for panel, (measure, title) in zip(panels, MEASURES.items(), strict=False):
            panel.set_title(title)
            panel.set_xticks(range(len(methods)), methods, rotation=45, ha="right")
            for place, method in enumerate(methods):
                seeds = values(rows, method, measure)
                panel.plot([place] * len(seeds), seeds, "o", color=colours[method], alpha=0.5)
                found = finding(seeds)
                if found is not None:
                    ends = [[found.mean - found.low], [found.high - found.mean]]
                    panel.errorbar(place + 0.2, found.mean, ends, fmt="_", color=colours[method])
        for panel in panels[len(MEASURES) :]:
            panel.set_visible(False)

    lines = -(-len(MEASURES) // ACROSS)
    alt = f"Every measure of the study by method, with intervals over seeds: {', '.join(methods)}."
    return Picture(f"{testbed}-measures", alt, (10, 2.2 * lines), draw, shown=())


def trade_offs(rows: Sequence[dict[str, Any]], testbed: str) -> Picture:
    """Science against the penalty, the compute, the entropy and the late bands: a dot a method, its mean over seeds."""
    methods = [name for name in MAIN if any(each["method"] == name for each in rows)]
    colours = colours_of(methods)

    def draw(figure: Any) -> None:
        for panel, (across, up) in zip(figure.subplots(2, 2).flat, AGAINST.values(), strict=True):
            panel.set_xlabel(TITLES[across])
            panel.set_ylabel(TITLES[up])
            for method in methods:
                xs, ys = values(rows, method, across), values(rows, method, up)
                if xs and ys:
                    panel.plot(np.mean(xs), np.mean(ys), "o", color=colours[method])
                    panel.annotate(method, (np.mean(xs), np.mean(ys)), xytext=(4, 2), textcoords="offset points",
                                   fontsize=7)  # fmt: skip

    alt = "Science against penalty, compute, entropy and robustness, by method."
    return Picture(f"{testbed}-trade-offs", alt, (10, 7), draw, shown=())
