"""The files of two checkpoint folders beside each other: what needs neither measuring nor reading of weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import NotTestable
from depthgauge.models.folder import CONFIG, check_language_model, read_json
from depthgauge.models.settings import GENERATION
from depthgauge.probes.probe import PROBES, Arrays, Opened
from depthgauge.store.folders import sha256
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint

LISTED, IN_ALL = 100, "in all"  # another vocabulary has a hundred thousand
QUANTIZED = "quantization_config"


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class FilesDifference:
    """Two arrays for each part of `compute.differences`: the first of its differences, as texts, and their number.

    `old_generation` is the digest of a file of the old folder that its fingerprint does not cover.
    """

    old_generation: str
    name: ClassVar[str] = "files"
    version: ClassVar[int] = 3
    what: ClassVar[str] = "what the files say"
    requires: ClassVar[tuple[str, ...]] = ("transformers",)  # what a field means that one folder leaves out

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"generation": generation_digest(one), "old_generation": self.old_generation}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.files.compute import differences

        found = differences(one.folder, other.folder)
        listed = {part: np.array(each[:LISTED], dtype=str) for part, each in found.items()}
        return listed | {f"{part} {IN_ALL}": np.array(len(each)) for part, each in found.items()}


def generation_digest(one: Checkpoint) -> str:
    path = one.folder / GENERATION
    return sha256(path) if path.is_file() else ""


def differences(subject: Subject, old: Subject, part: str) -> tuple[int, str]:
    """How many there are in a part, tensors, config, tokenizer, chat template or generation, and the first of them.

    Raises: NotTestable for the tensors of a quantised checkpoint, which have other names and shapes.
    """
    mine, its = subject.checkpoints[0], old.checkpoints[0]
    if part == "tensors" and quantized(mine) != quantized(its):
        raise NotTestable(f"one of {subject.name!r} and {old.name!r} is stored quantised, as tensors of other shapes")
    (taken,) = subject.compare(FilesDifference(old_generation=generation_digest(its)), old)
    return int(taken.arrays[f"{part} {IN_ALL}"]), str(next(iter(taken.arrays[part]), ""))


def quantized(one: Checkpoint) -> bool:
    return QUANTIZED in read_json(one.folder / CONFIG)
