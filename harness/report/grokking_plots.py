"""Pictures of grokking, in the form that the paper gave them."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from depthgauge.page.style import save
from depthgauge.page.tables import Measured
from depthgauge.probes.fourier.compute import EXPLAINED
from depthgauge.probes.fourier.measures import phases
from depthgauge.report.inside import of

LOSSES = ("train_loss", "test_loss", "restricted_loss", "excluded_loss")


def progress(measured: Sequence[Measured], path: Path) -> None:
    """A row a checkpoint: four losses by step, then sparsity and the weights' size; phases end at dotted lines."""
    taken = of(measured, "progress")
    figure, grid = plt.subplots(len(taken), 2, figsize=(12, 3.6 * len(taken)), squeeze=False)
    for one, (left, right) in zip(taken, grid, strict=True):
        arrays = one.measurement.arrays
        for name in LOSSES:
            left.semilogy(arrays["step"], arrays[name], label=name.replace("_", " "), linewidth=1.4)
        left.set(xlabel="step", ylabel="nats", title=f"{one.label}: losses")
        right.plot(arrays["step"], arrays["gini_embedding"], color="C4", label="Gini coefficient of W_E")
        right.set(xlabel="step", ylabel="Gini coefficient", title="sparsity, and the size of the weights", ylim=(0, 1))
        size = right.twinx()
        size.plot(arrays["step"], arrays["squared_weights"], color="C5", label="sum of squared weights")
        size.set_ylim(bottom=0)
        size.set_ylabel("sum of squared weights")
        for axes in (left, right):
            for step in phases(arrays)[:2]:
                axes.axvline(step, color="gray", linestyle=":", linewidth=1)
        left.legend(fontsize=8)
        right.legend(fontsize=8, loc="upper left")
        size.legend(fontsize=8, loc="lower right")
    save(figure, path)


def frequencies(measured: Sequence[Measured], path: Path) -> None:
    """A row a checkpoint: W_E and W_L by frequency, neurons by frequency, and the spectrum of one."""
    taken = of(measured, "fourier")
    figure, grid = plt.subplots(len(taken), 4, figsize=(18, 3.6 * len(taken)), squeeze=False)
    for one, row in zip(taken, grid, strict=True):
        arrays = one.measurement.arrays
        for axes, name, title in zip(row, ("embedding_norms", "logit_norms"), ("W_E", "W_L"), strict=False):
            norms = np.hypot(arrays[name][1::2], arrays[name][2::2])
            every = np.arange(1, len(norms) + 1)
            colours = np.where(np.isin(every, arrays["key_frequencies"]), "C3", "C0")
            axes.bar(every, norms, color=colours)
            axes.set(xlabel="frequency", ylabel="norm", title=f"{one.label}: {title} (red: key)")
        share, best = arrays["neuron_share"], arrays["neuron_frequency"]
        row[2].scatter(best, share, s=5, c=np.where(share >= EXPLAINED, "C3", "C7"))
        row[2].axhline(EXPLAINED, color="gray", linestyle=":", linewidth=1)
        row[2].set(xlabel="best frequency", ylabel="variance explained", title="neurons", ylim=(0, 1.02))
        shown = row[3].imshow(by_frequency(arrays["neuron_spectrum"]), cmap="magma", origin="lower")
        row[3].set(xlabel="frequency in b (0: constant)", ylabel="frequency in a", title="best explained neuron")
        figure.colorbar(shown, ax=row[3], fraction=0.046)
    save(figure, path)


def by_frequency(spectrum: np.ndarray) -> np.ndarray:
    """Norms (K + 1, K + 1) by the frequency in a and in b, from components (P, P); the mean over all pairs is 0."""
    squares = np.square(spectrum.astype(float))
    squares[0, 0] = 0
    first = np.arange(0, len(squares), 2)  # where each frequency ends: constant, then cosine and sine
    ends = np.r_[0, first[:-1] + 1]
    return np.sqrt(np.add.reduceat(np.add.reduceat(squares, ends, 0), ends, 1))


def attention(measured: Sequence[Measured], path: Path) -> None:
    """The attention of '=' to a, over all pairs: a row a checkpoint, a column a head."""
    taken = of(measured, "fourier")
    heads = max(len(one.measurement.arrays["attention"]) for one in taken)
    size = (3.6 * heads, 3.4 * len(taken))
    figure, grid = plt.subplots(len(taken), heads, figsize=size, squeeze=False)
    for one, row in zip(taken, grid, strict=True):
        for head, (axes, pattern) in enumerate(zip(row, one.measurement.arrays["attention"], strict=False)):
            shown = axes.imshow(pattern, vmin=0, vmax=1, cmap="RdBu_r", origin="lower")
            axes.set(xlabel="b", ylabel="a", title=f"{one.label}\nhead {head}: attention to a")
            figure.colorbar(shown, ax=axes, fraction=0.046)
    save(figure, path)
