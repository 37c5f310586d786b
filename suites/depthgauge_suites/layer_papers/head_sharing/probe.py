"""Which heads repair an answer that depends on how the question is put (arXiv:2508.19414), by activation patching.

Heads are patched at the input of the output projection, where each has numbers of its own, and at the last token alone:
from a form of the question that is answered right into one that is answered wrong. Layers and heads are 0-based.
Shapes: C comparisons, F forms, L layers, H query heads, K = even heads + 1, D draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.layer_papers.head_sharing.settings import DRAWS, Comparison


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSharing:
    """Arrays: `right` (C, F), which forms are answered right; `repaired` (C, L), whether all heads of a layer repair
    it, where one form is right and one wrong; `layer`, the one that repairs most; of those that it repairs, `even`,
    `odd`, `even_slices` and `odd_slices` (C,), 1, 0 or NaN elsewhere, the latter two by slices of the projection's
    output, which are no heads; `successes` and `tried` (K,), by how many of the even heads are patched; `heads`, of a
    layer.
    """

    comparisons: tuple[Comparison, ...]
    name: ClassVar[str] = "head_sharing"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "head sharing"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        asked = [
            [[form.text, list(form.turns)] for form in each.forms] + [each.right, each.wrong]
            for each in self.comparisons
        ]
        return {"comparisons": digest(asked), "draws": DRAWS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.head_sharing.compute import read

        return read(checkpoint.model, checkpoint.tokenizer, self.comparisons)
