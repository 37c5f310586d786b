"""The section on layers that were trained one at a time. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.stats import friedman

ALT = "By layer: the share right when it is trained, the entropy of its attention, how much it changes states"
TEXT = """Each layer was trained with the head, from the same weights, all others frozen; the task holds nothing it was
trained on. Entropy and similarity are of the checkpoint's own last token: how widely a layer's heads attend, and the
cosine of the states before and after it."""
RANKS = """Ranks over seeds, 1 the best: Friedman's test asks whether layers differ at all, and two layers differ where
their mean ranks are further apart than Nemenyi's critical difference (Demsar 2006)."""
PANELS = (("right", "share right, this layer trained"), ("entropy", "entropy of attention (nats)"),
          ("similarity", "cosine, before and after"))  # fmt: skip


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """A picture and a table by layer; ranks where several seeds of a method were asked."""
    tasks = dict.fromkeys(task_of(entry) for entry in measured)
    size = (12, 3.2 * len(tasks))
    picture = Picture("unfrozen.png", ALT, size, lambda figure: draw(figure, measured, setting), measured)
    ranked = ranks(measured)
    yield Section(
        "Layers trained alone", (picture, TEXT, accuracies(measured), *((RANKS, ranked) if ranked.rows else ()))
    )


def task_of(entry: Measured) -> str:
    return str(entry.measurement.parameters["task"])


def by_layer(entry: Measured, name: str) -> np.ndarray[Any, Any]:
    """One number a layer: a mean over the items of what was answered, or as it was measured."""
    values: np.ndarray[Any, Any] = entry.arrays[name]
    return values.mean(axis=1) if values.ndim == 2 else values


def accuracies(measured: Sequence[Measured]) -> Table:
    layers = max(len(entry.arrays["right"]) for entry in measured)
    rows = []
    for entry in measured:
        shares = by_layer(entry, "right")
        cells = [f"{share:.1%}" for share in shares] + ["-"] * (layers - len(shares))
        rows.append([escape(entry.label), escape(task_of(entry)), *cells, str(int(shares.argmax()))])
    return Table(["checkpoint", "task", *(f"layer {i}" for i in range(layers)), "best"], rows)


def ranks(measured: Sequence[Measured]) -> Table:
    """A row a method and task of which several seeds were asked."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for entry in measured:
        groups.setdefault((entry.evidence.method, task_of(entry)), []).append(entry)
    rows = []
    for (method, task), seeds in groups.items():
        if len(seeds) > 1:
            test = friedman(np.stack([by_layer(seed, "right") for seed in seeds]))
            listed = ", ".join(number(rank) for rank in test.mean_ranks)
            rows.append([escape(method), escape(task), str(len(seeds)), listed, number(test.p),
                         number(test.critical_difference)])  # fmt: skip
    return Table(["method", "task", "seeds", "mean ranks, layer 0 first", "Friedman's p", "critical difference"], rows)


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A row a task, a panel each for accuracy, entropy and similarity."""
    tasks = list(dict.fromkeys(task_of(entry) for entry in measured))
    grid = figure.subplots(len(tasks), len(PANELS), squeeze=False)
    for task, row in zip(tasks, grid, strict=True):
        for axes, (name, label) in zip(row, PANELS, strict=True):
            for entry in measured:
                if task_of(entry) == task:
                    values = by_layer(entry, name)
                    band(axes, range(len(values)), values, None, setting.colour(entry), plain(entry.label),
                         line_of(entry, measured))  # fmt: skip
            axes.set(xlabel=LAYER, ylabel=label, title=plain(task))
            whole_numbers(axes.xaxis)
    legend_beside(grid[0][-1])
