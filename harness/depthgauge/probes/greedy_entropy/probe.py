"""The greedy trace: what a model says when it always takes the likeliest token, how sure it is, how it repeats itself.

Layers play no part. Shapes: P openings, T steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.probes.greedy_entropy.entropy import BATCH, STEPS, entropy_trace


class Opening(str):
    """An unfinished text, which a model goes on with."""

    __slots__ = ()


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class GreedyEntropy:
    """80 greedy tokens after each opening. Arrays: `entropy_nats` and `token_ids` (P, T), and `text` (P,)."""

    openings: tuple[Opening, ...]
    name: ClassVar[str] = "greedy_entropy"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "the greedy entropy trace"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"prompts": digest(list(self.openings)), "steps": STEPS, "batch": BATCH}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        trace = entropy_trace(checkpoint.model, checkpoint.tokenizer, self.openings)
        text = np.array([checkpoint.tokenizer.decode(ids) for ids in trace.token_ids], dtype=np.str_)
        return trace._asdict() | {"text": text}
