"""The section on weights: how far they moved, and where. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, grid_of, legend_beside, line_of, pair_label, plain, whole_numbers
from depthgauge.page.section import Grid, Measured, Part, Picture, Section, Setting, Table

ATTENTION, MLP = ("q", "k", "v", "o"), ("gate", "up", "down", "in", "out")  # in, out: of a state space
MOVED_HEADS, MOVED_OTHERS, MOVED_ROWS, MOVED_QUANTIZED = 5, 3, 5, 5
ALT = "Norms of weight deltas by layer and projection"
TEXT = """Norms of the change from the base, in float32 sums gathered in float64. Larger matrices have larger norms:
compare projections per weight."""
ROWS_FOLDED = "The rows of embeddings and head that changed most: a row is a token"
FOLDED = "The heads whose weights moved most"


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Norms by projection and layer, the heads that moved most, and what moved beside the layers' matrices."""
    others = [entry for entry in measured if "names" in entry.arrays]
    rows = [entry for entry in measured if "rows" in entry.arrays]
    quantized = [entry for entry in measured if "quantized" in entry.arrays]
    measured = [entry for entry in measured if "projections" in entry.arrays]
    tables: list[Part] = [*([others_table(others)] if others else []), *row_tables(rows)]
    tables += [quantized_table(quantized)] if quantized else []
    if measured:
        size = (13, 2.7 * len(rows_of(measured)))
        grids = [by_layer(entry, measured) for entry in measured]
        picture = Picture(
            "weights.png", ALT, size, lambda figure: draw(figure, measured, setting), measured, grids=grids
        )
        tables = [picture, TEXT, weights_table(measured), moved_heads_table(measured), *tables]
    yield Section("Weights", tables)


def by_layer(entry: Measured, measured: Sequence[Measured]) -> Grid:
    values = entry.arrays["relative"].T
    layers, projections = (
        [f"layer {i}" for i in range(len(values))],
        [str(name) for name in entry.arrays["projections"]],
    )
    title = f"change over the base's norm, {pair_label(entry, measured)}"
    return Grid(title, layers, projections, values, moved="weights, change over their norm")


def others_table(measured: Sequence[Measured]) -> Table:
    """The norms, biases and embeddings that moved most."""
    body = []
    for entry in measured:
        names, sizes = entry.arrays["names"], entry.arrays["relative"]
        most = [i for i in np.argsort(-sizes)[:MOVED_OTHERS] if sizes[i] > 0]
        cells = ", ".join(f"{escape(str(names[i]))} ({number(float(sizes[i]))})" for i in most) or "none"
        body.append([escape(pair_label(entry, measured)), cells])
    return Table(["checkpoint against base", "norms, biases and embeddings that moved most (of their size)"], body)


def row_tables(measured: Sequence[Measured]) -> Iterator[Table]:
    """The tokens whose rows changed most, and those that only the candidate has."""
    headers = [
        "checkpoint against base",
        "row of embeddings or head",
        "change over the norm",
        "norm, times beside the rest",
    ]
    rows = [
        [escape(pair_label(entry, measured)), escape(str(entry.arrays["rows"][i])),
         *(number(float(entry.arrays[name][i])) for name in ("row_change", "row_factor"))]
        for entry in measured
        for i in np.argsort(-entry.arrays["row_change"])[:MOVED_ROWS]
        if entry.arrays["row_change"][i] > 0
    ]  # fmt: skip
    if rows:
        yield Table(headers, rows, ROWS_FOLDED)
    new = [
        [escape(pair_label(entry, measured)), escape(str(name)), number(float(size))]
        for entry in measured
        for name, size in zip(entry.arrays["new_rows"], entry.arrays["new_row_norms"], strict=True)
    ]
    if new:
        yield Table(["checkpoint against base", "row that the base has not", "norm over the median row's"], new)


def quantized_table(measured: Sequence[Measured]) -> Table:
    """The quantised matrices, by how far a group of theirs is shifted."""
    headers = ["checkpoint against base", "quantised matrix", "bits", "moved (of its norm)",
               "error that other scales would take away", "most shifted group", "by (steps)"]  # fmt: skip
    body = []
    for entry in measured:
        arrays = entry.arrays
        for i in np.argsort(-arrays["shift"], kind="stable")[:MOVED_QUANTIZED]:
            sizes = [number(float(arrays[name][i])) for name in ("relative", "explained")]
            place, shift = str(arrays["place"][i]), number(float(arrays["shift"][i]))
            body.append([escape(pair_label(entry, measured)), escape(str(arrays["quantized"][i])),
                         f"{arrays['bits'][i]:g}", *sizes, place, shift])  # fmt: skip
    return Table(headers, body)


def weights_table(measured: Sequence[Measured]) -> Table:
    headers = [
        "checkpoint against base", "projection", "Frobenius norm (median layer)", "per weight (rms)", "of the base's",
        "weights moved by over 1e-5", "stable rank (median)", "peak layer (0-based)", "peak over median",
    ]  # fmt: skip
    body = [
        [escape(pair_label(entry, measured)), str(projection), *norm_cells(entry, row)]
        for entry in measured
        for row, projection in enumerate(entry.arrays["projections"])
    ]
    return Table(headers, body)


def norm_cells(entry: Measured, row: int) -> list[str]:
    norms, ranks = entry.arrays["frobenius"][row], entry.arrays["stable_rank"][row]
    middle = float(np.nanmedian(norms))
    medians = (float(np.nanmedian(entry.arrays[name][row])) for name in ("frobenius", "rms", "relative", "changed"))
    return [
        *map(number, medians),
        number(float(np.nanmedian(ranks))) if np.isfinite(ranks).all() else "-",
        str(int(np.nanargmax(norms))),
        number(float(np.nanmax(norms)) / middle) if middle else "-",
    ]


def moved_heads_table(measured: Sequence[Measured]) -> Table:
    """The heads whose weights moved most, of each projection of the attention."""
    headers = ["checkpoint against base", "projection", "most moved heads: layer.head (Frobenius norm)", "median head"]
    body = []
    for entry in measured:
        for name in (name for name in entry.arrays if name.startswith("heads_")):
            norms = entry.arrays[name]
            most = [np.unravel_index(int(i), norms.shape) for i in np.argsort(-norms, axis=None)[:MOVED_HEADS]]
            shown = ", ".join(f"{layer}.{head} ({norms[layer, head]:.3g})" for layer, head in most)
            cells = [name.removeprefix("heads_"), shown, number(float(np.nanmedian(norms)))]
            body.append([escape(pair_label(entry, measured)), *cells])
    return Table(headers, body, FOLDED)


def rows_of(measured: Sequence[Measured]) -> list[list[str]]:
    """The projections that some checkpoint has: those of the attention, then those of the MLP."""
    known = {str(name) for entry in measured for name in entry.arrays["projections"]}
    rows = ([name for name in part if name in known] for part in (ATTENTION, MLP))
    return [row for row in rows if row]


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """Norms by layer: a panel a projection, a line a checkpoint; the panels of a row have one scale."""
    rows = rows_of(measured)
    grid = list(grid_of(figure, len(rows), max(map(len, rows))))
    for panels, names in zip(grid, rows, strict=True):
        for axes, name in zip(panels, names, strict=False):
            draw_projection(axes, name, measured, setting)
        top = max(axes.get_ylim()[1] for axes in panels[: len(names)])
        for axes in panels[: len(names)]:
            axes.set_ylim(0, top)
        panels[0].set_ylabel("norm of the change")
    legend_beside(grid[0][len(rows[0]) - 1])


def draw_projection(axes: Any, name: str, measured: Sequence[Measured], setting: Setting) -> None:
    axes.axis("on")
    for entry in measured:
        rows = dict(zip(map(str, entry.arrays["projections"]), entry.arrays["frobenius"], strict=True))
        if name in rows:
            layers, label = np.arange(len(rows[name])), plain(pair_label(entry, measured))
            band(axes, layers, rows[name], None, setting.colour(entry), label, line_of(entry, measured))
    axes.set(title=name, xlabel=LAYER)
    whole_numbers(axes.xaxis)
