"""How near the weights of each matrix are to a Gaussian (arXiv:2501.10661), as effect sizes, from the files alone.

Of ten million weights a test rejects any law: what can be said is how far from it they are. Layers are 0-based.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Profiles

SIZES = ("mean", "kurtosis", "ks", "qq", "outliers")


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianWeights:
    """Arrays over matrices: `names` 'layer 3 q', and the fields of `compute.Shape`, NaN where all weights are equal."""

    name: ClassVar[str] = "gaussian_weights"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "how Gaussian the weights are"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.gaussian_weights.compute import shapes

        found = shapes(one.folder)
        if not found:
            raise NotTestable(f"{one.folder} names its weights in a way that is not known: none is a layer's matrix")
        numbers = {size: np.array([getattr(shape, size) for shape in found.values()]) for size in (*SIZES, "std")}
        return {"names": np.array(list(found), np.str_), **numbers}


def departures(subject: Subject, size: str) -> Profiles:
    """By matrix, one of `SIZES`; the mean's without its sign.

    Raises: NotTestable for a matrix whose weights are all equal, naming it.
    """
    taken = subject.measure(GaussianWeights())
    names = list(map(str, taken[0].arrays["names"]))
    values = np.stack([np.abs(one.arrays[size]) if size == "mean" else one.arrays[size] for one in taken])
    for place in np.flatnonzero(np.isnan(values).any(axis=0)):
        raise NotTestable(f"all weights of {names[place]} are equal, as of {subject.name!r}: they have no shape")
    return Profiles(ids=("weights",), columns=tuple(names), values=values[:, None], unit=size, population="weights")
