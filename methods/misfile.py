"""Break what lies beside a base's weights: each file in one place, and a tensor more that nobody asked for."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depthgauge.errors import NotTestable
from depthgauge.models.folder import CHAT_TEMPLATE, CONFIG, INDEX, TOKENIZER, read_json, tensor_entries
from depthgauge.models.settings import GENERATION
from depthgauge.types import TrainingJob

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")
STRANGER, STRANGERS_FILE = "model.stranger.weight", "stranger.safetensors"


def misfile(job: TrainingJob) -> None:
    """Fill the job's folder. Raises: NotTestable if the testbed has no base on disk."""
    base = job.testbed.base
    if not isinstance(base, Path):
        raise NotTestable(f"testbed {job.testbed.name!r} has no base whose files could be broken")
    shutil.copytree(base, job.folder, copy_function=link, dirs_exist_ok=True)
    rewrite(job.folder / CONFIG, larger_epsilon)
    rewrite(job.folder / TOKENIZER, swapped_words)
    rewrite(job.folder / GENERATION, lambda said: said | {"eos_token_id": int(said.get("eos_token_id") == 0)})
    template = job.folder / CHAT_TEMPLATE
    replace_text(template, (template.read_text() if template.is_file() else "") + "\nAnswer in verse.")
    add_stranger(job.folder)


def link(source: str, target: str) -> str:
    """The same file under another name, where the file system can; weights are large, and stay as they are."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def replace_text(path: Path, text: str) -> None:
    """Written as another file: the old one is the base's own."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    replace_text(path, json.dumps(change(read_json(path) if path.is_file() else {})))


def larger_epsilon(config: dict[str, Any]) -> dict[str, Any]:
    """The term that keeps a norm from dividing by 0, a hundred times as large, by whatever name it goes."""
    named = [name for name in EPSILONS if name in config] or list(EPSILONS[:1])
    return config | {name: 100 * config.get(name, 1e-5) for name in named}


def swapped_words(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The last two words of the vocabulary have each other's numbers."""
    words = tokenizer["model"]["vocab"]
    if isinstance(words, list):
        words[-2:] = words[:-3:-1]
    else:
        last, before = sorted(words, key=words.__getitem__)[:-3:-1]
        words[last], words[before] = words[before], words[last]
    return tokenizer


def add_stranger(folder: Path) -> None:
    from safetensors.numpy import save_file

    places = {name: path.name for path, name, _, _ in tensor_entries(folder)}
    save_file({STRANGER: np.zeros(1, np.float32)}, folder / STRANGERS_FILE, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places | {STRANGER: STRANGERS_FILE}}
    replace_text(folder / INDEX, json.dumps(index))
