"""Circuits: what attention heads compute on tokens that repeat, read from their attention and from their weights.

Elhage et al. (2021); Olsson et al. (2022), arXiv:2209.11895. Layers and heads are 0-based. Shapes: S sequences, L
layers, H query heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.probes.circuits.settings import LENGTH, PERMUTATIONS, SEQUENCES


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Circuits:
    """Arrays of `compute.read_circuits`, on `SEQUENCES` random sequences of `LENGTH` tokens said twice."""

    name: ClassVar[str] = "circuits"
    version: ClassVar[int] = 3
    description: ClassVar[str] = "the circuits"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"sequences": SEQUENCES, "length": LENGTH, "permutations": PERMUTATIONS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.probes.circuits.compute import read_circuits

        return read_circuits(checkpoint.model)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class HeadScores:
    """The scores alone, without what weights and ablations tell: `previous`, `duplicate` and `induction` (S, L, H)."""

    name: ClassVar[str] = "head_scores"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "head scores"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"sequences": SEQUENCES, "length": LENGTH}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.probes.circuits.compute import read_scores

        return read_scores(checkpoint.forward_model)
