"""Where heads look, against another checkpoint, and how much of what changed lies on pieces of formulae.

Layers and heads are 0-based. Shapes: P texts, L layers, H heads, T tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.estimate import HeadOrder
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest, to_plain
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model, unlike_is_not_testable
from depthgauge.probes.attention.settings import MarkedText
from depthgauge.sources.tokenizer import check_same_tokenizer


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class HeadChange:
    """Arrays of `compute.HeadDivergence`, and more.

    `fragment_share` (P, 2), where every text has terms: changed attention on fragments, and if spread evenly.
    `order` is that in which the first checkpoint's heads are taken; maps are shown where they lie.
    `mapped_heads` (k, 2), the most changed ones, with `maps` and `other_maps` (k, T, T) on the first text, and its
    `tokens`.
    """

    texts: tuple[MarkedText, ...]
    order: HeadOrder | None = None
    name: ClassVar[str] = "attention"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "where heads look"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        texts = {"texts": digest([[text.text, list(text.terms)] for text in self.texts])}
        return texts if self.order is None else texts | {"order": digest(to_plain(self.order))}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.attention.measures import head_change

        with unlike_is_not_testable():
            check_same_tokenizer(candidate.folder, baseline.folder)
            return head_change(candidate, baseline, self.texts, self.order)
