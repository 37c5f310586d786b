"""The pictures beside a report: exam bars and entropy traces, with their intervals."""

from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from harness.report.tables import Measured, exam_estimates

DPI = 130


def exam_bars(measured: Sequence[Measured], path: Path) -> None:
    """Accuracy by exam and checkpoint, with 95 % intervals over items."""
    exams = exam_estimates(measured)
    names = list(dict.fromkeys(name for bars in exams.values() for name in bars))
    width = 0.8 / len(names)
    figure, axes = plt.subplots(figsize=(8, 4))
    for k, name in enumerate(names):
        for x, bars in enumerate(exams.values()):
            if name in bars:
                bar = bars[name]
                spread = [[bar.point - bar.low], [bar.high - bar.point]]
                label = name if x == next(i for i, b in enumerate(exams.values()) if name in b) else None
                axes.bar(x + (k - (len(names) - 1) / 2) * width, bar.point, width * 0.92, yerr=spread, capsize=2,
                         color=f"C{k}", label=label)  # fmt: skip
    axes.set_xticks(range(len(exams)), list(exams))
    axes.set(ylabel="accuracy (points)", title="Exams, with 95 % intervals over items")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    save(figure, path)


def entropy_traces(measured: Sequence[Measured], path: Path) -> None:
    """Mean greedy entropy by step, one line a checkpoint, with simultaneous 95 % bands (Bonferroni over steps)."""
    figure, axes = plt.subplots(figsize=(8, 4))
    for k, one in enumerate(m for m in measured if m.measurement.probe == "entropy"):
        values = one.measurement.arrays["entropy_nats"].astype(float)
        prompts, steps = values.shape
        half = NormalDist().inv_cdf(1 - 0.025 / steps) * values.std(0, ddof=1) / prompts**0.5
        middle = values.mean(0)
        axes.plot(np.arange(steps), middle, color=f"C{k}", label=one.label, linewidth=1.2)
        axes.fill_between(np.arange(steps), np.maximum(middle - half, 0), middle + half, color=f"C{k}", alpha=0.15)
    axes.set(xlabel="generated token (0-based)", ylabel="entropy (nats)")
    axes.set_title("Greedy entropy traces: mean over prompts, simultaneous 95 % bands")
    axes.legend(fontsize=8)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
