"""Transformer factors (arXiv:2103.15949): hidden states of all layers as sums of few non-negative factors.

Every number of a state is taken in its own mean and spread over the tokens of its layer, so that the few of huge norm
do not count for more. Layers are 0-based. Shapes: N texts, A factors, K layers that are read, W contexts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.layer_papers.transformer_factors.settings import EPOCHS, MOST_STATES, PENALTY


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerFactors:
    """One dictionary for the states of all layers, learnt on three of four texts and asked about the others.

    Arrays: `layers` (K,); `importance` (A, K), a factor's mean code by layer; `word` (A,), the share of its variance
    within a layer that the token itself explains; `explained`, `active`, `random_explained`, `random_active` (N,), of
    the held-out texts: the share of the states' squared length, and how many factors a state has, also with as many
    random factors; `kkt`, the residual of the codes; `contexts` (A, W), where each is largest, its token in [[ ]].
    """

    texts: tuple[str, ...]
    name: ClassVar[str] = "transformer_factors"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "transformer factors"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest(list(self.texts)), "penalty": PENALTY, "states": MOST_STATES, "epochs": EPOCHS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.transformer_factors.compute import read

        return read(checkpoint.model, checkpoint.tokenizer, self.texts)


def concentrated(importance_AK: NDArray[Any]) -> NDArray[np.float64]:
    """Shape (A,). The sum of squared shares over layers, times their number (Herfindahl); 1 for an unused factor."""
    layers = importance_AK.shape[1]
    total = importance_AK.sum(1, keepdims=True)
    shares = np.where(total > 0, importance_AK / np.where(total > 0, total, 1), 1 / layers)
    return np.asarray((shares**2).sum(1) * layers, float)


def mean_layer(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Of each factor, weighted by its importance: (A,)."""
    importance = arrays["importance"] + 1e-12
    return np.asarray(importance @ arrays["layers"] / importance.sum(1))
