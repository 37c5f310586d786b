"""The section on training logs."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table

COLUMNS = (
    "reward", "entropy", "grad_norm", "frac_reward_zero_std", "penalty_ratio", "moved_frac", "degenerate_steps",
    "train_loss", "test_loss", "test_accuracy",
)  # fmt: skip
TEXT = "Mean of the first quarter of the steps, to mean of the last."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """First and last quarter of every log, in the columns that one of them has."""
    columns = [name for name in COLUMNS if any(name in one.arrays for one in measured)]
    body = [[escape(one.label), last_step(one), *(from_to(one, name) for name in columns)] for one in measured]
    yield Section("Training", (TEXT, Table(["checkpoint", "steps", *columns], body)))


def last_step(one: Measured) -> str:
    steps = one.arrays.get("step", ())
    return f"{steps[-1]:.0f}" if len(steps) else "0"


def from_to(one: Measured, column: str) -> str:
    values = np.asarray(one.arrays.get(column, ()), float)
    quarter = max(1, len(values) // 4)
    ends = [part[~np.isnan(part)] for part in (values[:quarter], values[-quarter:])]
    return " to ".join(f"{end.mean():.3g}" for end in ends) if all(map(len, ends)) else "-"
