"""The greedy trace of the articles' own opening: one text, and so an illustration beside the many of ours.

Shapes: T steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.probes.greedy_entropy.entropy import STEPS, entropy_trace


class PublishedOpening(str):
    """An unfinished text that a source publishes figures of."""

    __slots__ = ()


# The prompt of both entropy figures, and of the table of diversity (Dangi 2026a).
OPENING = PublishedOpening(
    "The rich flavor of the roasted tomatoes gave the sauce a deep, vibrant color, resulting in a"
)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedTrace:
    """80 greedy tokens after it. Arrays: `entropy_nats` and `token_ids` (T,), and `text` ()."""

    opening: PublishedOpening
    name: ClassVar[str] = "published_opening"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "the articles' opening"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"opening": digest(self.opening), "steps": STEPS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        trace = entropy_trace(checkpoint.model, checkpoint.tokenizer, [self.opening], steps=STEPS)
        text = np.array(checkpoint.tokenizer.decode(trace.token_ids[0]), dtype=np.str_)
        return {"entropy_nats": trace.entropy_nats[0], "token_ids": trace.token_ids[0], "text": text}
