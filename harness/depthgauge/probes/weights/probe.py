"""How far weights moved from another checkpoint's, and where: two folders of safetensors, no model loaded.

Layers are 0-based. Shapes: P projections, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model, unlike_is_not_testable
from depthgauge.probes.weights.settings import TOLERANCE


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class WeightDeltas:
    """Arrays of `measures.by_projection`: norms of the change by projection and layer, and of experts."""

    name: ClassVar[str] = "weights"
    version: ClassVar[int] = 3
    description: ClassVar[str] = "how far weights moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"tolerance": TOLERANCE}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.measures import by_projection

        with unlike_is_not_testable():
            return by_projection(candidate.folder, baseline.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class OtherDeltas:
    """Arrays of `measures.of_others`: how far what is no matrix of a layer moved, and single rows of embeddings."""

    name: ClassVar[str] = "other_weights"
    version: ClassVar[int] = 4
    description: ClassVar[str] = "how far norms, embeddings and their rows moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.measures import of_others

        with unlike_is_not_testable():
            return of_others(candidate.folder, baseline.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedDeltas:
    """Arrays of `measures.of_quantized`: how far quantised weights lie from the baseline's, and what is not quantised.

    `requires` transformers, by whose mapping names are compared where they differ.
    """

    name: ClassVar[str] = "quantized_weights"
    version: ClassVar[int] = 3
    description: ClassVar[str] = "how far quantised weights moved"
    requires: ClassVar[tuple[str, ...]] = ("transformers",)

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.measures import of_quantized

        with unlike_is_not_testable():
            return of_quantized(candidate.folder, baseline.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class RowDeltas:
    """Arrays of `measures.of_vocabularies`: how far single rows of embeddings moved, quantised or not."""

    name: ClassVar[str] = "rows"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "how far rows of embeddings moved"
    requires: ClassVar[tuple[str, ...]] = ("transformers",)

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.measures import of_vocabularies

        with unlike_is_not_testable():
            return of_vocabularies(candidate.folder, baseline.folder)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeRanks:
    """Array `ranks` (L,): the rank of a projection's change, NaN where a layer has none."""

    projection: str
    name: ClassVar[str] = "change_ranks"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "ranks of what moved"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"projection": self.projection}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.measures import ranks_of_change

        with unlike_is_not_testable():
            return {"ranks": ranks_of_change(candidate.folder, baseline.folder, self.projection)}


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class BeyondRounding:
    """Arrays `tensor`, `moved`, `rounded` and `dtype`, of no axes: see `rounding.Movement`; '' for no tensor."""

    name: ClassVar[str] = "beyond_rounding"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "whether weights moved by more than rounding"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.rounding import first_movement

        with unlike_is_not_testable():
            movement = first_movement(candidate.folder, baseline.folder)
        return {
            name: np.array(value or "") if name in ("tensor", "dtype") else np.array(value)
            for name, value in movement._asdict().items()
        }


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Rewrites:
    """Arrays of `rewrites.summarised`: what is the baseline's but for a rewrite that leaves the function as it is."""

    name: ClassVar[str] = "rewrites"
    version: ClassVar[int] = 3
    description: ClassVar[str] = "rewrites that change no function"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.weights.rewrites import summarised

        with unlike_is_not_testable():
            return summarised(candidate.folder, baseline.folder)
