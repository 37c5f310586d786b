"""What moved, by layer, at the top of a report: a strip of squares for weights, residual stream and attention."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.layers import AMOUNTS, LAYER, plain, stacked
from depthgauge.page.section import Grid, Picture, Section

NAME, TITLE = "moved.png", "What moved, by layer"


def strip_of(sections: Iterable[Section]) -> Section | None:
    """The section, of the grids that say by layer what moved; None where there is none."""
    by_probe: dict[str, Grid] = {}
    for grid in grids_in(sections):
        if grid.moved:
            by_probe.setdefault(grid.moved, by_layer(grid))
    grids = [
        by_probe[name] for name in sorted(by_probe, reverse=True)
    ]  # weights, residual stream, attention: as it travels
    if not grids:
        return None
    size = (9, 0.55 + 0.62 * len(grids))
    depends = [[grid.title, grid.values.tolist()] for grid in grids]
    picture = Picture(NAME, alt_of(grids), size, partial(draw, grids), (), grids=grids, depends=depends)
    return Section(TITLE, [picture])


def grids_in(sections: Iterable[Section]) -> Iterator[Grid]:
    for section in sections:
        for part in section.parts:
            if isinstance(part, Picture):
                yield from part.grids


def by_layer(grid: Grid) -> Grid:
    """(1, L): the largest number of each layer; a layer that has none, as of another kind, stays empty."""
    known = np.isfinite(grid.values)
    largest = np.where(known, grid.values, -np.inf).max(axis=1)
    values = np.where(known.any(axis=1), largest, np.nan)[None]
    return replace(grid, title=grid.moved, rows=["largest"], columns=grid.rows, values=values)


def alt_of(grids: Sequence[Grid]) -> str:
    """'weights, most at layer 12 (1); residual stream, most at layer 35 (0.4)'."""
    return "; ".join(f"{grid.title}: {most(grid)}" for grid in grids)


def most(grid: Grid) -> str:
    values = grid.values[0]
    if not np.nanmax(values, initial=0):
        return "nothing moved"
    place = int(np.nanargmax(values))
    return f"most at {grid.columns[place]} ({number(float(values[place]))})"


def draw(grids: Sequence[Grid], figure: Any) -> None:
    """A strip each, darkest where nothing moved; its own scale, whose end stands in the title."""
    panels = stacked(figure, len(grids))
    for axes, grid in zip(panels, grids, strict=True):
        top = float(np.nanmax(grid.values, initial=0)) or 1.0
        axes.imshow(grid.values, cmap=AMOUNTS, aspect="auto", vmin=0, vmax=top, interpolation="nearest")
        axes.set_yticks([])
        axes.set_title(plain(grid.title) + ", " + plain(most(grid)), loc="left", fontsize=9)
    panels[-1].set_xlabel(LAYER)
