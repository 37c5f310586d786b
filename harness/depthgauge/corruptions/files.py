"""Corruptions of what lies beside the weights, and of the files that these lie in."""

from pathlib import Path
from typing import Any

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.corruptions.corruption import file_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.corruptions.folder import add_tensors, edit_config, edit_json, write_index, write_shard
from depthgauge.corruptions.tokenizer import swap_vocabulary_entries
from depthgauge.models.files import CHAT_TEMPLATE, CONFIG, GENERATION, read_json, tensor_entries, weight_files

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")
WINDOW = 16
STRANGER = "model.stranger.weight"
SHARDS = 3


@file_corruption("harmless")
def unchanged_copy(folder: Path, rng: Draws, dose: float) -> None:
    """The same checkpoint under another name.

    Simulates a training that ran on another folder, or was saved before its first step.
    """


@file_corruption("harmless", seeded=True)
def save_in_shards(folder: Path, rng: Draws, dose: float) -> None:
    """The tensors in three files, in another order, every weight as it was.

    Simulates saving with another size of shards.
    """
    entries, baseline = sorted(tensor_entries(folder), key=lambda entry: entry[1]), weight_files(folder)
    order = rng.generator("shards").permutation(len(entries)).tolist()
    files = [f"part-{shard}.safetensors" for shard in range(SHARDS)]
    for shard, file in enumerate(files):
        write_shard(folder / file, [entries[place] for place in order[shard::SHARDS]])
    write_index(folder, files)
    for path in baseline:
        path.unlink()


@file_corruption("harmless", seeded=True)
def add_config_field(folder: Path, rng: Draws, dose: float) -> None:
    """A field of the configuration that no model reads, and the fields in another order.

    Simulates what libraries note about themselves when they save.
    """
    numbers = rng.generator(CONFIG)

    def noted(config: dict[str, Any]) -> dict[str, Any]:
        shuffled = {str(name): config[name] for name in numbers.permutation(sorted(config))}
        return shuffled | {"saved_by": int(numbers.integers(1 << 30))}

    edit_json(folder / CONFIG, noted)


@file_corruption("fault", doses=(-1, 1))
def scale_rope_theta(folder: Path, rng: Draws, dose: float) -> None:
    """The base of rotary positions times ten to the power of `dose`.

    Simulates a configuration of another context length. Raises: NotTestable for a family without rotary positions.
    """

    def scaled(rope: dict[str, Any]) -> dict[str, Any]:
        if "rope_theta" in rope:
            return rope | {"rope_theta": rope["rope_theta"] * 10.0**dose}
        return {
            kind: scaled(scaling) if isinstance(scaling, dict) else scaling for kind, scaling in rope.items()
        }  # by kind of layer

    def changed(config: dict[str, Any]) -> dict[str, Any]:
        if "rope_theta" in config:
            return scaled(config)
        if not config.get("rope_parameters"):
            raise NotTestable(f"{CONFIG} names no base of rotary positions.")
        return config | {"rope_parameters": scaled(config["rope_parameters"])}

    edit_config(folder, changed)


@file_corruption("fault", doses=(1, 2, 4), dose=2)
def larger_norm_epsilon(folder: Path, rng: Draws, dose: float) -> None:
    """What keeps a norm from dividing by 0, times ten to the power of `dose`.

    Simulates the default of another library, where the configuration has the field by another name.
    """

    def changed(config: dict[str, Any]) -> dict[str, Any]:
        named = [name for name in EPSILONS if name in config] or list(EPSILONS[:1])
        return config | {name: config.get(name, 1e-5) * 10.0**dose for name in named}

    edit_config(folder, changed)


@file_corruption("fault", doses=(1,))
def add_sliding_window(folder: Path, rng: Draws, dose: float) -> None:
    """A sliding window that was not there, of 16 tokens divided by `dose`.

    Simulates a configuration of a sibling with local attention.
    """
    window = max(1, round(WINDOW / dose))
    edit_config(folder, lambda config: config | {"sliding_window": window, "use_sliding_window": True})


@file_corruption("fault", doses=(1,))
def shift_eos_token(folder: Path, rng: Draws, dose: float) -> None:
    """The end of text is another token, so many further on.

    Simulates a vocabulary that was extended, and generation settings of an older one.
    """
    config = read_json(folder / CONFIG)

    def shifted(settings: dict[str, Any]) -> dict[str, Any]:
        eos = settings.get("eos_token_id", config.get("eos_token_id")) or 0
        return settings | {"eos_token_id": (eos[0] if isinstance(eos, list) else eos) + int(dose)}

    edit_json(folder / GENERATION, shifted)


@file_corruption("fault", doses=(1,))
def foreign_chat_template(folder: Path, rng: Draws, dose: float) -> None:
    """A chat template of another family.

    Simulates a tokenizer that was saved by a trainer with its own default.
    """
    (folder / CHAT_TEMPLATE).write_text(
        "{% for m in messages %}### {{ m.role }}: {{ m.content }}{% endfor %}", encoding="utf-8"
    )


@file_corruption("fault", doses=(0.03, 0.3))
def add_repetition_penalty(folder: Path, rng: Draws, dose: float) -> None:
    """A repetition penalty of 1 + `dose` that was not there.

    Simulates settings of a demonstration that were saved with the model.
    """
    edit_json(folder / GENERATION, lambda settings: settings | {"repetition_penalty": 1 + dose})


@file_corruption("fault", version=4, seeded=True)
def corrupt_files(folder: Path, rng: Draws, dose: float) -> None:
    """The weights beside another configuration, tokenizer, chat template and settings, and a tensor too many.

    Simulates files that were put together from several checkpoints: something is wrong with each of them.
    """
    larger_norm_epsilon(folder, rng, 2 * dose)
    swap_vocabulary_entries(folder, rng, dose)
    shift_eos_token(folder, rng, dose)
    add_repetition_penalty(folder, rng, dose)
    template = folder / CHAT_TEMPLATE
    template.write_text(
        (template.read_text(encoding="utf-8") if template.is_file() else "") + "\nAnswer in verse.", encoding="utf-8"
    )
    add_stranger(folder)


def add_stranger(folder: Path) -> None:
    import torch

    add_tensors(folder, {STRANGER: torch.from_numpy(np.zeros(1, np.float32))})
