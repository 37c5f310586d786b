"""Pictures of what attention heads do with tokens that repeat. Layers and heads are 0-based."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from depthgauge.page.style import save
from depthgauge.page.tables import Measured
from depthgauge.report.circuits import KINDS
from depthgauge.report.inside import of


def head_grids(measured: Sequence[Measured], path: Path) -> None:
    """A row a checkpoint: the four scores of all heads, then two heads' maps on one sequence said twice."""
    taken = of(measured, "circuits")
    figure, grid = plt.subplots(len(taken), 6, figsize=(21, 3.8 * len(taken)), squeeze=False)
    for one, row in zip(taken, grid, strict=True):
        arrays = one.measurement.arrays
        for axes, kind in zip(row, KINDS, strict=False):
            shown = axes.imshow(arrays[kind].mean(0), aspect="auto", cmap="viridis", vmin=0, vmax=1, origin="lower")
            axes.set(xlabel="head (0-based)", ylabel="layer (0-based)", title=f"{one.label}\n{kind}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            figure.colorbar(shown, ax=axes, fraction=0.08)
        for axes, name, pattern in zip(row[4:], ("best_previous", "best_induction"), arrays["maps"], strict=True):
            layer, head = map(int, arrays[name])
            shown = axes.imshow(pattern, cmap="viridis", vmin=0, vmax=1)
            axes.set(xlabel="key", ylabel="query", title=f"{name.replace('_', ' ')}\nlayer {layer} head {head}")
            figure.colorbar(shown, ax=axes, fraction=0.046)
    save(figure, path)
