"""Copies of the baseline that are rounded as the candidate is and have no other fault, and how far each is off.

What a candidate does beside what they do is no rounding. Layers and heads are 0-based; shapes: N twins, L layers, H
heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Text
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class CopyErrors:
    """Arrays `jumps` (L,), `heads` (L, H) and `divergence` of no axes: see `compute.Errors`."""

    texts: tuple[Text, ...]
    name: ClassVar[str] = "copy_errors"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "errors by layer and head"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest_of_texts(self.texts)}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.twins.measures import copy_errors

        return copy_errors(candidate, baseline, self.texts)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TwinErrors:
    """The same of `twins` copies of a checkpoint, rounded as the folder `rounded_as` is, or by a rule of that name: an
    axis (N,) comes first.

    They are kept by how that folder is rounded, and not by what is in it: a candidate with a fault on the same grid is
    held to the same twins.
    """

    texts: tuple[Text, ...]
    rounded_as: Path | str
    twins: int
    name: ClassVar[str] = "twins"
    version: ClassVar[int] = 1

    @property
    def description(self) -> str:
        return f"{self.twins} twins"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.probes.twins.rounding import grid_of

        grid, _ = grid_of(self.rounded_as, checkpoint.folder)
        return {"texts": digest_of_texts(self.texts), "grid": grid, "twins": self.twins}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.probes.twins.measures import twin_errors

        return twin_errors(checkpoint, self.rounded_as, self.texts, self.twins)


def digest_of_texts(texts: tuple[Text, ...]) -> str:
    return digest([[text.text, [list(turn) for turn in text.turns]] for text in texts])
