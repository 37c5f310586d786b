"""A folder that changes while it is read: nothing is kept under the fingerprint of what was there before."""

import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from depthgauge.core.errors import HarnessError
from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import Arrays, CheckpointHandle
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store
from depthgauge.store.measurements import KIND
from tests.tiny import tiny_testbed

NAME, WEIGHTS = "model.norm.weight", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class FirstNumber:
    """A number of the weights, and whatever happens to the folder before and after it is read."""

    before: Callable[[Path], None] = field(compare=False)
    after: Callable[[Path], None] = field(compare=False)
    name: ClassVar[str] = "first_number"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "a number"
    requires: ClassVar[tuple[str, ...]] = ()

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {}

    def check(self, checkpoint: Checkpoint) -> None:
        pass

    def run(self, one: CheckpointHandle) -> Arrays:
        self.before(one.folder)
        number = load_file(one.folder / WEIGHTS)[NAME][:1]
        self.after(one.folder)
        return {"number": number}


def holding(number: float, folder: Path) -> bytes:
    """The weights with that number in them."""
    tensors = load_file(folder / WEIGHTS)
    tensors[NAME] = tensors[NAME].copy()
    tensors[NAME][0] = number
    save_file(tensors, folder.parent / "next.safetensors", metadata={"format": "pt"})
    return (folder.parent / "next.safetensors").read_bytes()


def replaced(number: float) -> Callable[[Path], None]:
    def swap(folder: Path) -> None:
        (folder.parent / "other").write_bytes(holding(number, folder))
        os.replace(folder.parent / "other", folder / WEIGHTS)

    return swap


def written_to(number: float) -> Callable[[Path], None]:
    return lambda folder: (folder / WEIGHTS).write_bytes(holding(number, folder)) and None


def another_configuration(number: float) -> Callable[[Path], None]:
    return lambda folder: (folder / "generation_config.json").write_text(f'{{"top_k": {int(number)}}}') and None


def nothing(folder: Path) -> None:
    pass


SWAPS = (replaced, written_to, another_configuration)


@pytest.fixture
def folder(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "model")


def opened(folder: Path, store: Store) -> CheckpointSet:
    context = RunContext(testbed=tiny_testbed(folder), store=store, tell=lambda line: None)
    return CheckpointSet(name="model", folder=folder, context=context)


def test_fifty_random_swaps_leave_no_measurement_under_a_wrong_fingerprint(folder, tmp_path):
    draws, store, numbers, refused = random.Random(0), Store(tmp_path / "store", run="r"), {}, []
    for trial in range(50):
        written_to(float(trial))(folder)
        candidate = opened(folder, Store(store.root, run=str(trial)))
        numbers[fingerprint(folder)] = float(trial)
        swap, place = draws.choice((*SWAPS, None)), draws.choice(("hashed", "before", "after"))
        moved = nothing if swap is None else swap(trial + 0.5)
        (checkpoint,) = candidate.checkpoints
        if place == "hashed":
            moved(folder)
        probe = FirstNumber(
            before=moved if place == "before" else nothing, after=moved if place == "after" else nothing
        )
        try:
            (taken,) = candidate.measure(probe)
        except HarnessError as error:
            refused.append((swap, str(error)))
        else:
            assert swap is None and taken.arrays["number"][0] == numbers[checkpoint.fingerprint]

    assert 20 < len(refused) < 50
    assert all(swap is not None and "was changed while it was read" in said for swap, said in refused)
    kept = [np.load(path)["number"][0] for path in (store.root / KIND).rglob("arrays.npz")]
    assert sorted(kept) == sorted(number for number in kept if number == int(number)) and len(kept) == 50 - len(refused)


def test_a_hard_link_is_no_change(folder, tmp_path):
    candidate = opened(folder, Store(tmp_path / "store", run="r"))
    link = lambda place: os.link(place / WEIGHTS, tmp_path / "link")  # noqa: E731
    (taken,) = candidate.measure(FirstNumber(before=link, after=nothing))

    assert taken.arrays["number"][0] == load_file(folder / WEIGHTS)[NAME][0]
