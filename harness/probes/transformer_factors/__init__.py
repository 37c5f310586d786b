"""Transformer factors (arXiv:2103.15949): hidden states of all layers as sums of few non-negative factors.

Every number of a state is taken in its own mean and spread over the tokens of its layer, so that the few of huge norm
do not count for more. Layers are 0-based. Shapes: N texts, A factors, K layers that are read, W contexts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Profiles, Scores, digest

LONGEST, MOST_LAYERS, MOST_STATES = 64, 12, 12_000  # tokens of a text; states are those of all layers
MOST_FACTORS, PER_NUMBER = 1024, 2  # at most two factors for each number of a state
PENALTY = 0.05  # of a state's length
EPOCHS, CONTEXTS = 2, 3
HELD_OUT = 4  # every fourth text is not learnt from


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
    what: ClassVar[str] = "transformer factors"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest(list(self.texts)), "penalty": PENALTY, "states": MOST_STATES, "epochs": EPOCHS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.transformer_factors.compute import read

        return read(one.model, one.tokenizer, self.texts)


def concentration(subject: Subject, texts: tuple[str, ...]) -> Scores:
    """By factor, how far its importance is gathered in few layers: 1 if spread evenly over all, K if in one alone."""
    values = np.stack([concentrated(one.arrays["importance"]) for one in taken(subject, texts)])
    return Scores(ids=names(values), values=values, unit="ratio", population="factors")


def about_words_by_depth(subject: Subject, texts: tuple[str, ...]) -> Profiles:
    """The share of each factor's variance that the token itself explains, factors in the order of their mean layer."""
    found = taken(subject, texts)
    values = np.stack([one.arrays["word"][np.argsort(mean_layer(one.arrays), kind="stable")] for one in found])
    return Profiles(
        ids=("factors",), columns=names(values), values=values[:, None], unit="share", population="factors"
    )  # fmt: skip


def penalty_of(numbers: int) -> float:
    """For states whose numbers have spread 1, and which are as long as the root of how many they are."""
    return PENALTY * math.sqrt(numbers)


def taken(subject: Subject, texts: tuple[str, ...]) -> tuple[Measurement, ...]:
    return subject.measure(TransformerFactors(texts=texts))


def names(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(map(str, range(values.shape[1])))


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
