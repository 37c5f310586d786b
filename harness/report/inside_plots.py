"""Pictures of what was measured inside the checkpoints, in the form that the articles gave them. Layers are 0-based."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from depthgauge.page.style import save
from depthgauge.page.tables import Measured
from depthgauge.report.inside import bands, of, profile, traces
from depthgauge.types import Landmarks

ATTENTION, MLP = ("q", "k", "v", "o"), ("gate", "up", "down")


def noise_curves(measured: Sequence[Measured], landmarks: Landmarks, path: Path) -> None:
    """Probability against shaken layer, one line a checkpoint, with bands that hold for all layers together."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for k, one in enumerate(traces(measured)):
        curve = profile(one)
        middle, band = curve.values[0].mean(axis=0), bands(curve)
        layers = np.arange(len(middle))
        axes.plot(layers, middle, color=f"C{k}", label=one.label, linewidth=1.3, marker=".", markersize=4)
        if band is not None:
            axes.fill_between(layers, middle - band.halves, middle + band.halves, color=f"C{k}", alpha=0.13)
    axes.axvline(landmarks.spike, color="gray", linestyle=":", linewidth=1, label=f"layer {landmarks.spike}")
    axes.set(xlabel="shaken layer (0-based)", ylabel="probability of the wrong answer")
    axes.set_title("Noise trace: mean over prompts and draws, simultaneous 95 % bands over prompts")
    axes.legend(fontsize=8)
    save(figure, path)


def movement(measured: Sequence[Measured], path: Path) -> None:
    """Frobenius norms by layer and projection: attention on the left, MLP on the right, a row a checkpoint."""
    moved = of(measured, "weights")
    figure, grid = plt.subplots(len(moved), 2, figsize=(10, 2.8 * len(moved)), squeeze=False, sharey="col")
    for one, pair in zip(moved, grid, strict=True):
        arrays = one.measurement.arrays
        rows = dict(zip(map(str, arrays["projections"]), arrays["frobenius"], strict=True))
        for axes, part, names in zip(pair, ("attention", "MLP"), (ATTENTION, MLP), strict=True):
            for name in (name for name in names if name in rows):
                axes.plot(rows[name], label=name, linewidth=1.3, marker=".", markersize=4)
            axes.set(title=f"{one.label}: {part}", xlabel="layer (0-based)", ylabel="norm of the change")
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=7, ncol=4)
    save(figure, path)


def changed_heads(measured: Sequence[Measured], path: Path) -> None:
    """A row a checkpoint: the divergence of all heads, then how the maps of the most changed ones differ."""
    compared = of(measured, "attention")
    widest = max(len(one.measurement.arrays["maps"]) for one in compared)
    size = (3.4 * (1 + widest), 3.6 * len(compared))
    figure, grid = plt.subplots(len(compared), 1 + widest, figsize=size, squeeze=False)
    for one, row in zip(compared, grid, strict=True):
        arrays = one.measurement.arrays
        shown = row[0].imshow(arrays["jsd_bits"].mean(axis=0), aspect="auto", cmap="viridis", origin="lower")
        row[0].set_title(f"{one.label}\ndivergence (bits)", fontsize=9)
        row[0].set(xlabel="head (0-based)", ylabel="layer (0-based)")
        figure.colorbar(shown, ax=row[0], fraction=0.08)
        for axes in row[1:]:
            axes.axis("off")
        for axes, (layer, head), after, before in zip(
            row[1:], arrays["mapped_heads"], arrays["maps"], arrays["other_maps"], strict=False
        ):
            head_map(figure, axes, after - before, arrays["tokens"], f"layer {layer}, head {head}")
    save(figure, path)


def head_map(figure: plt.Figure, axes: plt.Axes, change: np.ndarray, tokens: np.ndarray, title: str) -> None:
    """One head's change of attention, query by key, blue where it fell and red where it rose."""
    largest = max(float(np.abs(change).max()), 1e-9)
    shown = axes.imshow(change, cmap="RdBu_r", vmin=-largest, vmax=largest)
    labels = [plain_label(token) for token in tokens]
    axes.axis("on")
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("key", fontsize=7)
    axes.set_ylabel("query", fontsize=7)
    figure.colorbar(shown, ax=axes, fraction=0.046)


def plain_label(token: object) -> str:
    """A token as it can be drawn: no mathematics mode, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(token)).replace("$", r"\$") or "(empty)"


def read_outs(measured: Sequence[Measured], path: Path) -> None:
    """Share of compounds read out of their last token, from the embedding (-1) to the last block, and by chance."""
    figure, axes = plt.subplots(figsize=(9, 4))
    for k, one in enumerate(of(measured, "tokenization")):
        arrays = one.measurement.arrays
        places = np.arange(arrays["read_out"].shape[1]) - 1
        axes.plot(places, arrays["read_out"].mean(axis=0), color=f"C{k}", label=one.label, linewidth=1.3)
        axes.plot(places, arrays["shuffled"].mean(axis=0), color=f"C{k}", linewidth=0.8, linestyle=":")
    axes.set(xlabel="after block (0-based; -1 is the embedding)", ylabel="share of compounds named")
    axes.set_title("Linear read-out of a compound from its last token (dotted: labels shuffled)")
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)
    save(figure, path)
