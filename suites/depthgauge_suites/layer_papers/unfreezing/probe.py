"""Which layer learns a task best when it alone is trained with the head, all else frozen (arXiv:2306.12198).

Layers are 0-based. Shapes: L layers, N items of a task's task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import ItemTask
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.store.folders import sha256

ANSWERS = "unfrozen.safetensors"  # by task, which items are answered rightly with each layer trained: (L, N)


class Example(NamedTuple):
    """Tokens, and what is to be said after each: None where nothing is asked."""

    tokens: tuple[str, ...]
    answers: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnfreezingTask:
    """What layers are trained on: examples drawn at random, and the task, none of whose items is among them.

    The answer to an item is the token said after its prompt.
    """

    item_task: ItemTask
    draw: Callable[[Random], Example]

    @property
    def name(self) -> str:
        return self.item_task.name


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class UnfrozenLayers:
    """What each layer made of a task when it alone was trained, and what the checkpoint's layers do with its prompts.

    Arrays: `right` (L, N), the items answered; `entropy` (L,), in nats, of the last token's attention, a mean over
    heads and items; `similarity` (L,), the mean cosine of the last token's states before and after the layer.
    """

    task: str
    prompts: tuple[str, ...]
    name: ClassVar[str] = "unfrozen_layers"
    version: ClassVar[int] = 1

    @property
    def description(self) -> str:
        return f"layers unfrozen for {self.task}"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"task": self.task, "prompts": digest(list(self.prompts)), "answers": sha256(answers_of(checkpoint))}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)
        if not answers_of(checkpoint).is_file():
            raise NotTestable(
                f"{checkpoint.name!r} was not trained one layer at a time: it has no {ANSWERS}", code="other-method"
            )

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from safetensors.numpy import load_file

        from depthgauge_suites.layer_papers.unfreezing.compute import entropy, similarity

        right = load_file(answers_of(checkpoint.checkpoint))
        if self.task not in right:
            raise NotTestable(f"no layer of {checkpoint.checkpoint.name!r} was trained for {self.task!r}")
        tokens = [checkpoint.tokenizer(prompt)["input_ids"] for prompt in self.prompts]
        measures = {"entropy": entropy(checkpoint.model, tokens), "similarity": similarity(checkpoint.model, tokens)}
        return {"right": right[self.task], **measures}


def answers_of(checkpoint: Checkpoint) -> Path:
    return checkpoint.folder / ANSWERS
