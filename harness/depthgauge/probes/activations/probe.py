"""What changed inside a checkpoint, against another one: the residual stream after every block, on the same texts.

After Minder et al. (2025), arXiv:2510.13900. Layers are 0-based. Shapes: P texts, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Text
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationDifference:
    """How far the residual stream moved, in arrays of `compute.Difference`, and what its mean difference says.

    `mean_says` (3, K) the words that the logit lens finds likeliest in the mean difference over texts at the fourth
    token, with `mean_says_probability`, at the layers `mean_says_layers`; K is 0 where the family's final norm is not
    known, and probabilities are 0 where nothing differs there, or no text is long enough.
    """

    texts: tuple[Text, ...]
    name: ClassVar[str] = "activations"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "activation differences"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, [list(turn) for turn in text.turns]] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.activations.measures import activation_change

        return activation_change(candidate, baseline, self.texts)
