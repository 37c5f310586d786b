"""Gates on a training log: a sick run is named, and its checkpoint is not kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from depthgauge.core.errors import TrainingUnhealthy

Log = Sequence[Mapping[str, float]]

SILENT_SHARE = 0.9
COLLAPSED_ENTROPY_SHARE = 0.02
ROUNDED_MOVED_FRACTION = 0.01


def column(log: Log, name: str) -> list[float]:
    """One logged quantity, step by step; steps that did not log it are left out."""
    return [float(row[name]) for row in log if row.get(name) is not None]


def not_finite(log: Log) -> str | None:
    """A gradient norm or loss that is NaN or infinite."""
    for row in log:
        for name in ("loss", "grad_norm"):
            if name in row and not math.isfinite(row[name]):
                return f"{name} is {row[name]} at step {row['step']:.0f}: lower the learning rate"
    return None


def silent(log: Log) -> str | None:
    """Silent no-learning: hardly any group has both right and wrong answers, so there is hardly any gradient."""
    share = median(column(log, "frac_reward_zero_std"))
    if share >= SILENT_SHARE:
        return (
            f"silent no-learning: the median step has {share:.0%} groups without reward variance, so almost no "
            "gradient; choose questions of middling difficulty, larger groups or a higher temperature"
        )
    return None


def collapsed(log: Log) -> str | None:
    """Collapse: entropy has fallen to almost nothing of what it was."""
    entropy = column(log, "entropy")
    tail = len(entropy) // 10 or 1
    start, end = sum(entropy[:tail]) / tail, sum(entropy[-tail:]) / tail
    if end < COLLAPSED_ENTROPY_SHARE * start:
        return f"collapse: entropy fell from {start:.3g} to {end:.3g} nats; lower the learning rate"
    return None


def rounded(log: Log) -> str | None:
    """A perturbation that rounds to nothing: the second pass sees the same weights as the first."""
    moved = column(log, "moved_frac")
    if moved and median(moved) < ROUNDED_MOVED_FRACTION:
        return (
            f"the perturbation rounds to nothing: the ascent step changes {median(moved):.2%} of the weights; raise "
            "ascent_step, or keep the weights in float32"
        )
    return None


HEALTH_CHECKS: tuple[Callable[[Log], str | None], ...] = (not_finite, silent, collapsed, rounded)


def check_healthy(log: Log, name: str) -> None:
    """Raises: TrainingUnhealthy naming the first sickness found in the log of method `name`."""
    for check in HEALTH_CHECKS:
        sickness = check(log)
        if sickness:
            raise TrainingUnhealthy(f"training {name!r} is unhealthy: {sickness}.")
