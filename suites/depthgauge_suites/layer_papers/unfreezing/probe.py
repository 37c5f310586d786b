"""Which layer learns a task best when it alone is trained with the head, all else frozen (arXiv:2306.12198).

Layers are 0-based. Shapes: L layers, N items of a task's exam.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Exam
from depthgauge.measure.base_probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.store.folders import sha256

ANSWERS = "unfrozen.safetensors"  # by task, which items are answered rightly with each layer trained: (L, N)


class Example(NamedTuple):
    """Tokens, and what is to be said after each: None where nothing is asked."""

    tokens: tuple[str, ...]
    answers: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What layers are trained on: examples drawn at random, and the exam, none of whose items is among them.

    The answer to an item is the token said after its prompt.
    """

    exam: Exam
    draw: Callable[[Random], Example]

    @property
    def name(self) -> str:
        return self.exam.name


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class UnfrozenLayers:
    """What each layer made of a task when it alone was trained, and what the checkpoint's layers do with its prompts.

    Arrays: `right` (L, N), the items answered; `entropy` (L,), in nats, of the last token's attention, a mean over
    heads and items; `similarity` (L,), the mean cosine of the last token's states before and after the layer.
    """

    exam: str
    prompts: tuple[str, ...]
    name: ClassVar[str] = "unfrozen_layers"
    version: ClassVar[int] = 1

    @property
    def what(self) -> str:
        return f"layers unfrozen for {self.exam}"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"exam": self.exam, "prompts": digest(list(self.prompts)), "answers": sha256(answers_of(one))}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)
        if not answers_of(checkpoint).is_file():
            raise NotTestable(f"{checkpoint.name!r} was not trained one layer at a time: it has no {ANSWERS}")

    def take(self, one: Opened) -> Arrays:
        from safetensors.numpy import load_file

        from depthgauge_suites.layer_papers.unfreezing.compute import entropy, similarity

        right = load_file(answers_of(one.checkpoint))
        if self.exam not in right:
            raise NotTestable(f"no layer of {one.checkpoint.name!r} was trained for {self.exam!r}")
        tokens = [one.tokenizer(prompt)["input_ids"] for prompt in self.prompts]
        found = {"entropy": entropy(one.model, tokens), "similarity": similarity(one.model, tokens)}
        return {"right": right[self.exam], **found}


def answers_of(checkpoint: Checkpoint) -> Path:
    return checkpoint.folder / ANSWERS
