"""Massive values (arXiv:2502.01563): the few numbers of queries and keys that dwarf all others, and what they serve.

A number of a head is massive where its root mean square over positions is above 5 times the mean over the layer's
heads and numbers. Layers and heads are 0-based. Shapes: I items, L layers, H query heads, G key-value heads, D
numbers of a head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.layer_papers.massive_values.settings import DRAWS, FACTOR, LONGEST

Source = Literal["context", "memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """A prompt and how it goes on, which its own text says, or which has to be remembered."""

    prompt: str
    answer: str
    source: Source


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class MassiveValues:
    """Arrays: `q` (L, H, D), `k` and `v` (L, G, D), root mean squares of what the attention reads, after rotation;
    `q_projected`, `k_projected`, and `q_normed`, `k_normed` after a norm of their own, where the family has such a
    place; `speeds` (D,), radians that a position turns each number by, where all are rotated.
    """

    texts: tuple[str, ...]
    name: ClassVar[str] = "massive_values"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "massive values"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest(list(self.texts)), "factor": FACTOR, "longest": LONGEST}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.massive_values.compute import read, starts

        return read(checkpoint.model, starts(checkpoint.model, checkpoint.tokenizer, self.texts))


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class MassiveAblation:
    """What is lost where massive numbers of queries and keys keep their mean alone, found on `texts`.

    Arrays: `intact`, `massive` (I,) and `random` (DRAWS, I), log-probabilities of the answers in nats, where `random`
    destroys as many other numbers, shared by as many heads; each with `..._right`, whether the answer is what it says
    by itself; `destroyed`, how many numbers.
    """

    texts: tuple[str, ...]
    recalls: tuple[Recall, ...]
    name: ClassVar[str] = "massive_ablation"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "recall without massive values"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        asked = digest([[each.prompt, each.answer] for each in self.recalls])
        return {"texts": digest(list(self.texts)), "recalls": asked, "factor": FACTOR, "draws": DRAWS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.massive_values.ablation import ablate
        from depthgauge_suites.layer_papers.massive_values.compute import starts

        pairs = [(each.prompt, each.answer) for each in self.recalls]
        return ablate(
            checkpoint.model, checkpoint.tokenizer, starts(checkpoint.model, checkpoint.tokenizer, self.texts), pairs
        )


def shared_beyond_chance(massive_LHD: NDArray[np.bool_]) -> NDArray[np.float64]:
    """By layer: NaN where nothing is massive."""
    heads, size = massive_LHD.shape[1:]
    if heads < 2:
        raise NotTestable("there is one head a layer, with no other to share dimensions with", code="alone")
    missed = 1 - massive_LHD.mean(2)  # of a number drawn at random, by each head
    by_others = missed.prod(1, keepdims=True) / np.maximum(missed, 1 / size)
    also = massive_LHD & (massive_LHD.sum(1, keepdims=True) > 1)
    count = massive_LHD.sum((1, 2))
    expected = (massive_LHD.sum(2) * (1 - by_others)).sum(1)
    return np.where(count > 0, (also.sum((1, 2)) - expected) / np.maximum(count, 1), np.nan)


def before_rotation(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The sizes of keys as they enter the rotation, which spreads a fast number over the two of its pair."""
    return next(arrays[name] for name in ("k_normed", "k_projected", "k") if name in arrays)


def slowness_of(massive_LGD: NDArray[np.bool_], speeds: NDArray[Any]) -> NDArray[np.float64]:
    """By layer: NaN where nothing is massive. Numbers of one speed have one rank, the mean of theirs."""
    faster = (speeds[:, None] < speeds).sum(1) + ((speeds[:, None] == speeds).sum(1) - 1) / 2
    ranks = faster / max(len(speeds) - 1, 1)
    count = massive_LGD.sum((1, 2))
    return np.where(count > 0, (massive_LGD * ranks).sum((1, 2)) / np.maximum(count, 1), np.nan)
