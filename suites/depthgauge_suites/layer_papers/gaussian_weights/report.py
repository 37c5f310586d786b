"""The section on the shape of weights. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table

ALT = "Distance of the weights from a Gaussian, and their tails, by layer"
DRAWN = (("ks", "largest distance (KS)"), ("kurtosis", "largest excess kurtosis"))
TEXT = """How far each matrix is from a Gaussian of its own mean and spread: the largest distance of the distribution
functions (KS), excess kurtosis, the correlation of quantiles, the share beyond six standard deviations, and the mean
over the spread. A Gaussian has 0, 0, 1, 2e-9 and 0. Medians over layers, and the matrix that is furthest."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Medians and extremes by projection, and the worst matrix of every layer."""
    picture = Picture("gaussian.png", ALT, (10, 3.4), lambda figure: draw(figure, measured, setting), measured)
    yield Section("Shape of weights", (picture, TEXT, table(measured)))


def table(measured: Sequence[Measured]) -> Table:
    headers = [
        "checkpoint",
        "projection",
        "KS",
        "furthest",
        "excess kurtosis",
        "quantiles",
        "outliers",
        "mean / spread",
    ]
    rows = [row for entry in measured for row in rows_of(entry)]
    return Table(headers, rows)


def rows_of(entry: Measured) -> Iterator[list[str]]:
    names = entry.arrays["names"]
    projections = np.array([str(name).rpartition(" ")[2] for name in names])
    for projection in dict.fromkeys(projections.tolist()):
        columns = np.flatnonzero((projections == projection) & np.isfinite(entry.arrays["ks"]))
        if len(columns):
            worst = columns[entry.arrays["ks"][columns].argmax()]
            furthest = f"{str(names[worst]).rpartition(' ')[0]} ({number(float(entry.arrays['ks'][worst]))})"
            medians = {
                size: number(float(np.median(entry.arrays[size][columns]))) for size in entry.arrays if size != "names"
            }
            shown = (medians[size] for size in ("kurtosis", "qq", "outliers", "mean"))
            yield [escape(entry.label), escape(projection), medians["ks"], escape(furthest), *shown]


def worst_by_layer(entry: Measured, size: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    layers = np.array([int(str(name).split()[1]) for name in entry.arrays["names"]])
    unique = np.unique(layers)
    return unique, np.array([np.nanmax(entry.arrays[size][layers == layer], initial=0) for layer in unique])


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A line a checkpoint: the matrix of each layer that is furthest from a Gaussian."""
    panels = figure.subplots(1, len(DRAWN))
    for axes, (size, label) in zip(panels, DRAWN, strict=True):
        for entry in measured:
            layers, values = worst_by_layer(entry, size)
            band(axes, layers, values, None, setting.colour(entry), plain(entry.label), line_of(entry, measured))
        axes.set(xlabel=LAYER, ylabel=label)
        whole_numbers(axes.xaxis)
    legend_beside(panels[-1])
