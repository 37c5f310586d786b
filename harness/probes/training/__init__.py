"""What was logged while a checkpoint was trained, step by step. No model is loaded."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import InvalidCheckpoint, NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened
from depthgauge.store.folders import sha256
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Scores

LOG = "training_log.json"  # a list of rows, each with its step
COMPLETIONS = "completions.json"  # a list of rows, one a completion of the last step, where a method leaves them
SAID = ("prompt", "completion", "reward")
Numbers = NDArray[np.float64]


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingLog:
    """An array a logged quantity, NaN at steps that did not log it, beside `step`.

    Where the last step's completions are kept: `said_prompt`, `said_completion` and `said_reward`, of equal length.
    """

    name: ClassVar[str] = "training"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "the training log"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        files = {"log": one.folder / LOG, "completions": one.folder / COMPLETIONS}
        return {name: sha256(path) for name, path in files.items() if path.is_file()}

    def check(self, checkpoint: Checkpoint) -> None:
        if not (checkpoint.folder / LOG).is_file():
            raise NotTestable(f"{checkpoint.name!r} has no training log")

    def take(self, one: Opened) -> Arrays:
        rows = read_rows(one.folder / LOG, "step")
        columns = dict.fromkeys(name for row in rows for name in row)
        return {name: np.array([logged(row, name) for row in rows]) for name in columns} | dict(said(one.folder))


def logged(row: Mapping[str, float], name: str) -> float:
    """A logged number; NaN where none was logged, and infinity where what was logged is NaN."""
    value = float(row.get(name, np.nan))
    return np.inf if name in row and np.isnan(value) else value


def said(folder: Path) -> Arrays:
    """The last step's completions; nothing where they are not kept, or where a resumed training had no step left."""
    rows = read_rows(folder / COMPLETIONS, *SAID) if (folder / COMPLETIONS).is_file() else []
    return {f"said_{column}": np.array([row[column] for row in rows]) for column in SAID if rows}


def read_rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    """The rows of a file, each with these columns. Raises: InvalidCheckpoint if it is no such file."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: train the checkpoint again.") from error
    if not (isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= set(columns) for row in rows)):
        raise InvalidCheckpoint(f"{path} is not a list of rows with {', '.join(columns)}: train the checkpoint again.")
    return rows


def logs(subject: Subject, column: str) -> tuple[Measurement, ...]:
    """The log of each seed. Raises: NotTestable where there is none, or no step logged the column."""
    found = subject.measure(TrainingLog())
    if not all(column in one.arrays for one in found):
        raise NotTestable(f"the training log of {subject.name!r} has no {column!r}")
    return found


def by_step(subject: Subject, column: str, summary: Callable[[float], float] = float, *, unit: str) -> Scores:
    """A logged quantity, step by step; 0 at a step that did not log it, as one without a gradient.

    Raises: NotTestable as `logs`.
    """
    taken = logs(subject, column)
    values = np.array(
        [[0.0 if np.isnan(value) else summary(float(value)) for value in one.arrays[column]] for one in taken]
    )
    ids = tuple(str(int(step)) for step in taken[0].arrays["step"])
    return Scores(ids=ids, values=values, unit=unit, population="steps")


def largest_jumps(subject: Subject) -> Numbers:
    """By how much each seed's train loss rose at most, as a ratio to its least before, after it fell below 1e-4."""
    return np.array([largest_jump(one.arrays["train_loss"]) for one in logs(subject, "train_loss")])


def largest_jump(losses: Numbers) -> float:
    """The largest ratio of a loss to the least before it, once that is below 1e-4; 1 if it never falls so far."""
    least = np.minimum.accumulate(losses)[:-1]
    ratios = (losses[1:] / least)[least < 1e-4]
    return float(max(ratios.max(initial=1.0), 1.0))
