"""How near the weights of each matrix are to a Gaussian (arXiv:2501.10661), as effect sizes, from the files alone.

Of ten million weights a test rejects any law: what can be said is how far from it they are. Layers are 0-based.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model

SIZES = ("mean", "kurtosis", "ks", "qq", "outliers")


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianWeights:
    """Arrays over matrices: `names` 'layer 3 q', and the fields of `compute.Shape`, NaN where all weights are equal."""

    name: ClassVar[str] = "gaussian_weights"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "how Gaussian the weights are"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.gaussian_weights.compute import shapes

        by_shape = shapes(checkpoint.folder)
        if not by_shape:
            raise NotTestable(
                f"{checkpoint.folder} names its weights in a way that is not known: none is a layer's matrix"
            )
        numbers = {size: np.array([getattr(shape, size) for shape in by_shape.values()]) for size in (*SIZES, "std")}
        return {"names": np.array(list(by_shape), np.str_), **numbers}
