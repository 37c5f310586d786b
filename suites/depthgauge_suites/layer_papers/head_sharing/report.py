"""The section on heads that repair an answer. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.stats import change_point, wilson

ALT = "What all heads of a layer repair, by layer; what even heads repair, by how many they are"
PARTS = {"even": "even heads", "odd": "odd heads", "even_slices": "even slices", "odd_slices": "odd slices"}
TEXT = """Comparisons that are answered rightly in one form of the question and wrongly in another. At the last token,
heads of the form that is right are patched into the one that is wrong, at the input of the output projection
(arXiv:2508.19414). Of the comparisons that all heads of the best layer repair: how many its even and its odd heads
repair, and slices of the projection's output, which mix all heads. The threshold is the likeliest number of even heads
from which on they repair, with those that are as likely at 95 %, and by how much the step's log-likelihood is above
that of a logistic curve."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The shares, the threshold, and both curves."""
    picture = Picture("repair.png", ALT, (10, 3.4), lambda figure: draw(figure, measured, setting), measured)
    yield Section("Heads that repair", (picture, TEXT, shares(measured), thresholds(measured)))


def shares(measured: Sequence[Measured]) -> Table:
    rows = []
    for entry in measured:
        right = entry.arrays["right"]
        both = (right.any(1) & ~right.all(1)).astype(float)
        cells = [cell(level(both, "share", "prompts")), str(int(entry.arrays["layer"]))]
        for name in PARTS:
            repairs = entry.arrays[name][np.isfinite(entry.arrays[name])]
            cells.append(cell(level(repairs, "share", "prompts")) if len(repairs) else "-")
        rows.append([escape(entry.label), *cells, str(int(entry.arrays["repaired"].sum(0).max()))])
    headers = ["checkpoint", "depend on their form", "best layer", *PARTS.values(), "comparisons"]
    return Table(headers, rows)


def thresholds(measured: Sequence[Measured]) -> Table:
    rows = []
    for entry in measured:
        successes, tried = (entry.arrays[name] for name in ("successes", "tried"))
        cells = ["-", "-"]
        if (tried > 0).all() and len(tried) > 1:
            point = change_point(successes, tried)
            cells = [f"{point.place} [{point.low}, {point.high}]", f"{point.over_smooth:+.1f}"]
        rows.append([escape(entry.label), *cells])
    return Table(["checkpoint", "threshold, even heads", "over a logistic curve"], rows)


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """Left: all heads, by layer. Right: even heads of the best layer, by how many, with Wilson's intervals."""
    by_layer, by_size = figure.subplots(1, 2)
    for entry in measured:
        look = setting.colour(entry), plain(entry.label), line_of(entry, measured)
        repaired = entry.arrays["repaired"].sum(0)
        band(by_layer, range(len(repaired)), repaired, None, *look)
        successes, tried = (entry.arrays[name] for name in ("successes", "tried"))
        if (tried > 0).all():
            middle, (low, high) = successes / tried, wilson(successes, tried)
            band(by_size, range(len(tried)), middle, np.stack([middle - low, high - middle]), *look)
    by_layer.set(xlabel=LAYER, ylabel="comparisons repaired by all heads")
    by_size.set(xlabel="even heads patched", ylabel="share of subsets that repair", ylim=(-0.03, 1.03))
    whole_numbers(by_layer.xaxis, by_layer.yaxis, by_size.xaxis)
    legend_beside(by_size)
