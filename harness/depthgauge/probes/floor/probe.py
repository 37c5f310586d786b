"""The floor of what can be told apart: how far a checkpoint diverges from itself, run or stored in another way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Text
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """Arrays `batch`, `kernel` and `precision` of a shape (texts,): see `compute.Floors`."""

    texts: tuple[Text, ...]
    name: ClassVar[str] = "floor"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "the floor of divergence"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, [list(turn) for turn in text.turns]] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.models.inputs import text_ids
        from depthgauge.probes.floor.compute import floors

        return floors(
            checkpoint.model, [text_ids(checkpoint.tokenizer, text, checkpoint.model) for text in self.texts]
        )._asdict()
