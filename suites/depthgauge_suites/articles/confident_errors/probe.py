"""Confident errors: how sure a checkpoint is of the options that it chooses, right and wrong. Shapes: N items."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.testbed import Item, ItemTask
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.articles.confident_errors.settings import EVERY


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidentErrors:
    """Arrays `share` and `right` (N,) of `compute.options_chosen`, of every third item of a task of options."""

    task: ItemTask
    name: ClassVar[str] = "confident_errors"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "confident errors"

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(self.task.items())[::EVERY]

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.tasks.item_runner import parameters

        return parameters(self.task) | {"every": EVERY}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.articles.confident_errors.compute import options_chosen

        return options_chosen(self.task, self.items, checkpoint.model, checkpoint.tokenizer)
