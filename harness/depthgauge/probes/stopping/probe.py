"""Whether answers still end by themselves: a model that never says its stop token talks on until it is cut off.

Shapes: Q questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.models.stops import stop_tokens
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Stopping:
    """Arrays of `compute.Answers`: `ended`, `tokens` and `said`, (Q,) each.

    An answer ends where transformers ends it: at the tokens of generation_config.json, or else of the configuration.
    """

    questions: tuple[ShortQuestion, ...]
    name: ClassVar[str] = "stopping"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "whether answers end"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        asked = digest([[question.request, question.prompt] for question in self.questions])
        return {"questions": asked, "tokens": TOKENS, "stops": list(stop_tokens(checkpoint.folder))}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.probes.stopping.compute import answers

        return answers(checkpoint.model, checkpoint.tokenizer, self.questions, stop_tokens(checkpoint.folder))._asdict()
