"""Attention sinks: heads that park their attention on the first token (Gu et al. 2025, arXiv:2410.10781)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.models.load import vocabulary_size

TOKENS = 64  # of Gu et al. (2025): alpha_1 of even attention falls with the length


class Passage(str):
    """A text of at least 64 tokens."""

    __slots__ = ()


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Sinks:
    """alpha_1 of every head, (P, L, H), on the three inputs of Gu et al. (2025): `natural`, `random`, `repeated`."""

    passages: tuple[Passage, ...]
    name: ClassVar[str] = "sinks"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "attention sinks"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"passages": digest(list(self.passages)), "tokens": TOKENS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.models.attention import eager_flag
        from depthgauge.probes.sinks.compute import sink_strength

        natural = [checkpoint.tokenizer(text)["input_ids"][:TOKENS] for text in self.passages]
        if min(map(len, natural)) < TOKENS:
            raise NotTestable(f"a passage of the testbed has fewer than the {TOKENS} tokens that sinks are measured on")
        model = checkpoint.forward_model
        random = np.random.default_rng(0).integers(vocabulary_size(model), size=(len(natural), TOKENS))
        inputs = {"natural": natural, "random": random.tolist()}
        inputs["repeated"] = [[int(row[0])] * TOKENS for row in random]
        return {name: sink_strength(model, ids) for name, ids in inputs.items()} | eager_flag(model)
