"""The files of two checkpoint folders beside each other: what needs neither measuring nor reading of weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle
from depthgauge.models.settings import GENERATION
from depthgauge.sources.folder import check_language_model
from depthgauge.store.folders import sha256

LISTED, IN_ALL = 100, "in all"  # another vocabulary has a hundred thousand
QUANTIZED = "quantization_config"


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class FilesDifference:
    """Two arrays for each part of `compute.differences`: the first of its differences, as texts, and their number.

    `baseline_generation` is the digest of a file of the baseline's folder that its fingerprint does not cover.
    """

    baseline_generation: str
    name: ClassVar[str] = "files"
    version: ClassVar[int] = 3
    description: ClassVar[str] = "what the files say"
    requires: ClassVar[tuple[str, ...]] = ("transformers",)  # what a field means that one folder leaves out

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"generation": generation_digest(one), "old_generation": self.baseline_generation}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, one: CheckpointHandle, other: CheckpointHandle) -> Arrays:
        from depthgauge.probes.files.compute import differences

        found = differences(one.folder, other.folder)
        listed = {part: np.array(each[:LISTED], dtype=str) for part, each in found.items()}
        return listed | {f"{part} {IN_ALL}": np.array(len(each)) for part, each in found.items()}


def generation_digest(one: Checkpoint) -> str:
    path = one.folder / GENERATION
    return sha256(path) if path.is_file() else ""
