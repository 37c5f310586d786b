"""What is measured of a cell's checkpoint, where it was trained: plain numbers, small enough to be committed.

Shapes: P openings, T steps, N questions, L layers, D draws.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.plan import HORIZONS
from depthgauge import ItemTask, Testbed
from depthgauge.models.load import load_uncached
from depthgauge.probes.greedy_entropy import Opening
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import below_for, entropy_trace, loop
from depthgauge.probes.weights.measures import by_projection
from depthgauge.tasks.item_runner import answer_items
from depthgauge_suites.articles.noise_trace import ReasonedQuestion, TraceQuestion
from depthgauge_suites.articles.noise_trace.compute import noise_trace, parting
from depthgauge_suites.articles.noise_trace.probe import landmarks

WINDOW = 5  # steps of the moving average in the articles' figures
COLLAPSED_SHARE = 0.5
WRONG = 1  # of a question's two targets
OPENINGS = 128


def smoothed(entropy_nats: NDArray[Any]) -> NDArray[np.float64]:
    """The moving average over the last axis, of T - WINDOW + 1 windows."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(entropy_nats, WINDOW, axis=-1).mean(-1, dtype=float))


def collapse(entropy_nats: NDArray[Any]) -> dict[str, Any]:
    """By horizon: which openings' smoothed entropy (P, T) collapses, and whether the checkpoint does."""
    found = {}
    for horizon in HORIZONS:
        each = below_for(smoothed(entropy_nats[:, :horizon])).any(axis=-1)
        found[str(horizon)] = {"share": float(each.mean()), "collapsed": bool(each.mean() >= COLLAPSED_SHARE)}
    return found


def measured(folder: Path, testbed: Testbed, measures: str) -> dict[str, Any]:
    """'collapse' alone, or 'all' of the plan."""
    model, tokenizer = load_uncached(folder)
    model.eval()
    openings = testbed.inputs(Opening)[:OPENINGS]
    trace = entropy_trace(model, tokenizer, openings, steps=max(HORIZONS))
    published = trace.entropy_nats[:, : HORIZONS[0]]
    periods = [found.period for found in map(loop, trace.token_ids) if found is not None]
    found: dict[str, Any] = {
        "collapse": collapse(trace.entropy_nats),
        "entropy": {
            "by_step": rounded(trace.entropy_nats.mean(0)),
            "mean_80": float(published.mean()),
            "peak_80": float(published.max(1).mean()),
            "smoothed_peak_80": float(smoothed(published).max(1).mean()),
            "loops": len(periods) / len(openings),
            "loop_period": float(np.mean(periods)) if periods else None,
            "bigrams_80": float(np.mean([ngram_diversity(ids[: HORIZONS[0]], 2) for ids in trace.token_ids])),
        },
    }
    if measures == "all":
        found["tasks"] = {
            task.name: rounded(answer_items(task, model, tokenizer)["score"].mean(0))
            for task in testbed.tasks
            if isinstance(task, ItemTask)
        }
        found["noise"] = noise(model, tokenizer, testbed, testbed.inputs(TraceQuestion))
        if ReasonedQuestion in testbed.probe_inputs:
            reasoned = [question.asked() for question in testbed.inputs(ReasonedQuestion)]
            found["noise_reasoned"] = noise(model, tokenizer, testbed, reasoned)
        assert isinstance(testbed.base, Path)
        moved = by_projection(folder, testbed.base)
        found["moved"] = {
            str(name): rounded(moved["relative"][place]) for place, name in enumerate(moved["projections"])
        }
    return found


def noise(model: Any, tokenizer: Any, testbed: Testbed, questions: Sequence[TraceQuestion]) -> dict[str, Any]:
    """Of the wrong answer's probability under noise, by layer: its mean, its mean distance from the median over draws,
    and that in units of sqrt(p(1 - p)), which is what a probability near 0 or 1 has less of.
    """
    parted = [parting(tokenizer, question) for question in questions]
    trace = noise_trace(model, [one.prompt_ids for one in parted], [one.targets for one in parted])
    wrong = np.exp(trace.noisy[:, WRONG].astype(float))  # (N, L, D)
    mean = wrong.mean(-1)
    deviation = np.abs(wrong - np.median(wrong, -1, keepdims=True)).mean(-1)
    relative = deviation / np.sqrt(np.clip(mean * (1 - mean), 1e-12, None))
    late = [layer for layer in landmarks(testbed, wrong.shape[1]).late if layer < wrong.shape[1]]
    return {
        "clean": float(np.exp(trace.clean[:, WRONG]).mean()),
        "mean": rounded(mean.mean(0)),
        "deviation": rounded(deviation.mean(0)),
        "relative_deviation": rounded(relative.mean(0)),
        "late_deviation": float(deviation[:, late].mean()),
        "late_relative_deviation": float(relative[:, late].mean()),
    }


def rounded(numbers: Any, digits: int = 5) -> list[float]:
    return [float(f"{number:.{digits}g}") for number in np.asarray(numbers, dtype=float)]
