"""The files of two checkpoint folders beside each other: what needs neither measuring nor reading of weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle
from depthgauge.sources.folder import check_language_model
from depthgauge.sources.notes import notes

LISTED, IN_ALL, ADDED = 100, "in all", "added"  # another vocabulary has a hundred thousand


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class FilesDifference:
    """Two arrays for each part of `compute.differences` and for `sources.notes`: the first texts, and their number. The
    same for '... added', those of them that a training adds.
    """

    name: ClassVar[str] = "files"
    version: ClassVar[int] = 6
    description: ClassVar[str] = "what the files say"
    requires: ClassVar[tuple[str, ...]] = ("transformers",)  # what a field means that one folder leaves out

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.files.compute import differences_and_additions, fused_notes

        parts, added = differences_and_additions(candidate.folder, baseline.folder)
        parts |= {"note": [*notes(candidate.folder), *fused_notes(candidate.folder, baseline.folder)]}
        parts |= {f"{part} {ADDED}": texts for part, texts in added.items()}
        listed = {part: np.array(texts[:LISTED], dtype=str) for part, texts in parts.items()}
        return listed | {f"{part} {IN_ALL}": np.array(len(texts)) for part, texts in parts.items()}
