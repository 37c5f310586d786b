"""What was logged while a checkpoint was trained, step by step. No model is loaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle
from depthgauge.store.folders import sha256

LOG = "training_log.json"  # a list of rows, each with its step
COMPLETIONS = "completions.json"  # a list of rows, one a completion of the last step, where a method leaves them
SAID = ("prompt", "completion", "reward")


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingLog:
    """An array a logged quantity, NaN at steps that did not log it, beside `step`.

    Where the last step's completions are kept: `said_prompt`, `said_completion` and `said_reward`, of equal length.
    """

    name: ClassVar[str] = "training"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "the training log"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        files = {"log": checkpoint.folder / LOG, "completions": checkpoint.folder / COMPLETIONS}
        return {name: sha256(path) for name, path in files.items() if path.is_file()}

    def check(self, checkpoint: Checkpoint) -> None:
        if not (checkpoint.folder / LOG).is_file():
            raise NotTestable(f"{checkpoint.name!r} has no training log")

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        rows = read_rows(checkpoint.folder / LOG, "step")
        columns = dict.fromkeys(name for row in rows for name in row)
        return {name: np.array([logged(row, name) for row in rows]) for name in columns} | dict(said(checkpoint.folder))


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
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: train the checkpoint again.") from error
    if not (isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= set(columns) for row in rows)):
        raise InvalidCheckpoint(f"{path} is not a list of rows with {', '.join(columns)}: train the checkpoint again.")
    return rows
