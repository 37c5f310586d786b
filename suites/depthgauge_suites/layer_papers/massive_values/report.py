"""The sections on massive values: where they are, and what is lost without them. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge_suites.layer_papers.massive_values.probe import before_rotation, shared_beyond_chance, slowness_of
from depthgauge_suites.layer_papers.massive_values.settings import is_massive

ALT = "Share of the numbers of queries, keys and values that are massive, by layer"
SIDES = {"q": "queries", "k": "keys", "v": "values"}
PLACES = {
    "": "as attention reads them",
    "_projected": "after their projection",
    "_normed": "after their norm",
}
TEXT = """A number of a head is massive where its root mean square over positions is above 5 times the mean over its
layer's heads and numbers (arXiv:2502.01563). Heads share dimensions where another head of the layer is massive in the
same number, counted above chance; slowness is the rank of the massive keys' rotation, 0.5 by chance and 1 the
slowest."""
ABLATION = """Where massive numbers of queries and keys keep their mean over positions alone, or as many other numbers
do, shared by as many heads. Of the answers that the intact model gives by itself: how many are still given, and the
log-probability that they lose."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Counts with a picture by layer; and what is recalled without."""
    counted = [entry for entry in measured if "q" in entry.arrays]
    ablated = [entry for entry in measured if "destroyed" in entry.arrays]
    if counted:
        picture = Picture("massive.png", ALT, (12, 3.2), lambda figure: draw(figure, counted, setting), counted)
        yield Section("Massive values", (picture, TEXT, counts(counted)))
    if ablated:
        yield Section("Recall without massive values", (ABLATION, losses(ablated)))


def counts(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint", "where", *SIDES.values(), "share dimensions", "slowness of keys"]
    return Table(headers, [row for entry in measured for row in rows_of(entry)])


def rows_of(entry: Measured) -> Iterator[list[str]]:
    for place, label in PLACES.items():
        arrays = {side: entry.arrays[side + place] for side in SIDES if side + place in entry.arrays}
        if arrays:
            shown = [f"{int(is_massive(arrays[side]).sum()):,}" if side in arrays else "-" for side in SIDES]
            yield [escape(entry.label), label, *shown, *(marks(entry) if not place else ("-", "-"))]


def marks(entry: Measured) -> tuple[str, str]:
    """Means over layers of what `shared_beyond_chance` and `slowness_of` say; '-' where nothing is said."""
    queries, keys = is_massive(entry.arrays["q"]), is_massive(before_rotation(entry.arrays))
    shared = shared_beyond_chance(queries) if queries.shape[1] > 1 else np.empty(0)
    slow = slowness_of(keys, entry.arrays["speeds"]) if "speeds" in entry.arrays else np.empty(0)
    first, second = (number(float(np.nanmean(each))) if np.isfinite(each).any() else "-" for each in (shared, slow))
    return first, second


def losses(measured: Sequence[Measured]) -> Table:
    rows = []
    for entry in measured:
        known = entry.arrays["intact_right"].astype(bool)
        for name, label in (("massive", "massive"), ("random", "as many others")):
            log_probabilities, said = (
                np.atleast_2d(entry.arrays[each]).mean(0)[known] for each in (name, f"{name}_right")
            )
            lost = entry.arrays["intact"][known] - log_probabilities
            shown = [cell(level(lost, "nats", "items")), f"{said.mean():.0%}"] if len(lost) > 1 else ["-", "-"]
            rows.append([escape(entry.label), label, f"{int(entry.arrays['destroyed']):,}", str(known.sum()), *shown])
    return Table(["checkpoint", "destroyed", "numbers", "answers", "nats lost [95 %]", "still given"], rows)


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A panel each for queries, keys and values."""
    panels = figure.subplots(1, len(SIDES), sharey=True)
    for axes, (side, label) in zip(panels, SIDES.items(), strict=True):
        for entry in measured:
            shares = is_massive(entry.arrays[side]).mean((1, 2))
            band(
                axes,
                range(len(shares)),
                shares,
                None,
                setting.colour(entry),
                plain(entry.label),
                line_of(entry, measured),
            )
        axes.set(xlabel=LAYER, title=label)
        whole_numbers(axes.xaxis)
    panels[0].set_ylabel("share that is massive")
    legend_beside(panels[-1])
