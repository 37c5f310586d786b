"""What must never be blocked: the same weights, rewritten with no more loss than a round trip through bfloat16 has."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.gate_quality.faults import Tensors, edit_weights
from depthgauge.methods.sabotage import bfloat16_step
from depthgauge.models.folder import CONFIG, INDEX, WEIGHTS


def rounded_at_random(folder: Path, draw: np.random.Generator) -> None:
    """Every weight goes to a bfloat16 number above or below it, by chance: another one each time."""

    def edit(tensors: Tensors) -> None:
        for one in tensors.values():
            step = bfloat16_step(one)
            up = torch.from_numpy(draw.random(one.shape, dtype=np.float32))
            one.copy_(torch.where(one == 0, one, (one / step + up).floor() * step))

    edit_weights(folder, edit)


def saved_in_shards(folder: Path, draw: np.random.Generator) -> None:
    """The tensors in files of their own, in another order, every weight as it was."""
    tensors = load_file(folder / WEIGHTS)
    names = [str(name) for name in draw.permutation(sorted(tensors))]
    (folder / WEIGHTS).unlink()
    files = {f"part-{i}.safetensors": names[i::3] for i in range(3)}
    for file, its in files.items():
        save_file({name: tensors[name] for name in its}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, its in files.items() for name in its}}
    (folder / INDEX).write_text(json.dumps(index))


def noted_in_the_configuration(folder: Path, draw: np.random.Generator) -> None:
    """A field that no model reads, and the fields in another order."""
    config = json.loads((folder / CONFIG).read_text())
    shuffled = {str(name): config[name] for name in draw.permutation(sorted(config))}
    (folder / CONFIG).write_text(json.dumps(shuffled | {"saved_by": int(draw.integers(1 << 30))}))


HARMLESS: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "rounded-at-random": rounded_at_random,
    "saved-in-shards": saved_in_shards,
    "noted-in-the-configuration": noted_in_the_configuration,
}
# How many of each; all is measured again, as a fingerprint is of files.
RERUNS = {"rounded-at-random": 100, "saved-in-shards": 12, "noted-in-the-configuration": 4}
RESAMPLES = 84
