"""The section on drawn showers: how well they are told from simulated ones, where they differ, how fast they are."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, QUIET, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell
from depthgauge.stats import classifier_auc
from depthgauge_suites.layer_papers.showers.probe import beside, seen, simulated_cells
from depthgauge_suites.layer_papers.showers.simulation import FLOOR, LAYERS, RINGS

ALT = "Mean share of the energy, and its spread from shower to shower, by layer; simulated showers in grey"
MOST = 5
TEXT = """Every generator is asked for showers of the same energies. A linear classifier looks at energies by layer,
their squares and products, radii and the energy held: the area under its curve is 0.5 where nothing differs. An
observable differs by the largest distance of its two distribution functions (Kolmogorov and Smirnov)."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Profiles in depth, the areas and times, and the observables that differ most."""
    picture = Picture("showers.png", ALT, (9, 3.2), lambda figure: draw(figure, measured, setting), measured)
    yield Section("Showers", (picture, TEXT, generators(measured), differing(measured)))


def generators(measured: Sequence[Measured]) -> Table:
    truth = beside(seen(simulated_cells())[None])
    rows = [
        [
            escape(entry.label),
            cell(classifier_auc(beside(seen(entry.arrays["cells"])[None]), truth, estimand="area")),
            number(1e6 * float(np.median(entry.arrays["seconds"])) / len(entry.arrays["cells"])),
        ]
        for entry in measured
    ]
    return Table(["checkpoint", "area against simulated [95 %]", "microseconds a shower"], rows)


def differing(measured: Sequence[Measured]) -> Table:
    """The observables that differ most from simulated ones, and how far."""
    from scipy.stats import ks_2samp

    truth = seen(simulated_cells())
    names, rows = beside(truth[None]).columns, []
    for entry in measured:
        values = seen(entry.arrays["cells"])
        distances = np.array([ks_2samp(values[:, i], truth[:, i]).statistic for i in range(len(names))])
        worst = np.argsort(-distances, kind="stable")[:MOST]
        rows.append([escape(entry.label), *(f"{names[i]}: {number(float(distances[i]))}" for i in worst)])
    return Table(
        ["checkpoint", *(f"differs, {place}" for place in ("most", "second", "third", "fourth", "fifth"))], rows
    )


def by_layer(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of the energy by layer: (N, L)."""
    shares = np.exp(cells.astype(float)).reshape(len(cells), LAYERS, RINGS) - FLOOR
    return np.asarray(shares.sum(axis=2))


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A panel for means, one for spreads."""
    summaries: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "mean": lambda shares: shares.mean(axis=0),
        "spread": lambda shares: shares.std(axis=0),
    }
    panels = figure.subplots(1, len(summaries))
    for axes, (label, summary) in zip(panels, summaries.items(), strict=True):
        axes.plot(range(LAYERS), summary(by_layer(simulated_cells())), color=QUIET, linewidth=4)
        for entry in measured:
            values = summary(by_layer(entry.arrays["cells"]))
            band(axes, range(LAYERS), values, None, setting.colour(entry), plain(entry.label), line_of(entry, measured))
        axes.set(xlabel=LAYER, ylabel=f"share of the energy, {label}")
        whole_numbers(axes.xaxis)
    legend_beside(panels[-1])
