"""A corrupted copy of a checkpoint's folder, written tensor by tensor."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.corruptions.corruption import Changes, Corruption, Layers
from depthgauge.corruptions.draws import Draws
from depthgauge.formats.folder import plain_tensors, tensors
from depthgauge.formats.tensors import QUANTIZATION, Stored, configuration, is_quantized, whole
from depthgauge.models.files import CONFIG, INDEX, WEIGHTS, read_json, tensor_entries, weight_files
from depthgauge.models.header import read_header
from depthgauge.models.stops import stop_tokens

if TYPE_CHECKING:
    import torch

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
COPIED = (".json", ".jinja", ".model", ".txt")
NOT_COPIED = ("manifest.json", "recipe.json", "training_log.json")  # of a store's entry, and of how it was trained
FIRST = "first.safetensors"
PLAIN, SHARD = ".plain", 1 << 31  # where a quantised checkpoint is dequantised, and bytes of a file of it
CHUNK = 1 << 24
Entry = tuple[Path, str, dict[str, Any], int]  # as `tensor_entries` gives it


class FolderTensors:
    """The weights of a folder as a `TensorSource`. Nothing is kept: every `read` is a copy of one's own.

    Raises: NotTestable where weights are stored in a form that is not known.
    """

    def __init__(self, folder: Path) -> None:
        try:
            readable = tensors(folder)
        except InvalidCheckpoint as error:
            raise NotTestable(str(error)) from error
        self.stored = {name: tensor for name, tensor in readable.items() if isinstance(tensor, Stored)}
        self.shapes: Mapping[str, tuple[int, ...]] = {name: tensor.shape for name, tensor in self.stored.items()}

    def read(self, name: str) -> "torch.Tensor":
        """In the dtype in which it is stored."""
        import torch

        stored = self.stored[name]
        dtype = getattr(torch, DTYPES[stored.dtype])
        raw = np.fromfile(stored.path, np.uint8, size_of(stored), offset=stored.offset)
        return torch.from_numpy(raw).view(dtype).reshape(stored.shape)


def size_of(stored: Stored) -> int:
    """In bytes."""
    return int(np.prod(stored.shape, dtype=np.int64)) * {"F64": 8, "F32": 4}.get(stored.dtype, 2)


def corrupt(
    base: Path,
    folder: Path,
    corruption: Corruption,
    *,
    seed: int = 0,
    dose: float | None = None,
    layers: Layers | None = None,
    model: Callable[[], Any] | None = None,
) -> list[str]:
    """Fill an empty folder with a corrupted copy of a checkpoint; the names of the tensors that were changed.

    `model` loads the checkpoint, for a corruption that needs it.

    Raises: NotTestable for a checkpoint that cannot be corrupted in this way.
    """
    if is_quantized(base):
        base = plain_copy(base, folder / PLAIN)
    copy_files(base, folder)
    rng, dose = Draws(seed), corruption.dose if dose is None else dose
    changed = []
    if corruption.change_tensors is not None:
        loaded = model() if corruption.needs_model and model is not None else None
        source = FolderTensors(base)
        config = configuration(base) | {"eos_token_id": list(stop_tokens(base))}  # generation may name others
        changed = write(folder, source, corruption.apply(source, config, rng, dose, layers, loaded))
    if corruption.change_config is not None:
        change = corruption.change_config
        edit_config(folder, lambda config: change(config, dose))
    if corruption.change_files is not None:
        corruption.change_files(folder, rng, dose)
    shutil.rmtree(folder / PLAIN, ignore_errors=True)
    return changed


def plain_copy(base: Path, into: Path) -> Path:
    """A quantised checkpoint dequantised, in float32 and files of some GiB, and without the settings of its format.

    Raises: NotTestable where it cannot be read.
    """
    into.mkdir(parents=True)
    for path in copied_beside(base):
        shutil.copyfile(path, into / path.name)
    edit_config(into, without_quantization)
    edit_json(into / CONFIG, without_quantization)
    try:
        weights = plain_tensors(base)
    except InvalidCheckpoint as error:
        raise NotTestable(str(error)) from error
    shard: dict[str, Any] = {}
    files: list[str] = []
    for i, (name, tensor) in enumerate(weights.items()):
        shard[name] = whole(tensor)
        if sum(each.nbytes for each in shard.values()) >= SHARD or i == len(weights) - 1:
            files.append(f"model-{len(files)}.safetensors")
            save_file(shard, into / files[-1], metadata={"format": "pt"})
            shard = {}
    write_index(into, files) if files[1:] else (into / files[0]).rename(into / WEIGHTS)
    return into


def without_quantization(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != QUANTIZATION}


def copy_files(base: Path, folder: Path) -> None:
    """All that a model is loaded from; weights are linked where the file system can."""
    weights = weight_files(base)
    folder.mkdir(parents=True, exist_ok=True)
    for path in weights:
        link(path, folder / path.name)
    for path in copied_beside(base):
        shutil.copyfile(path, folder / path.name)


def copied_beside(base: Path) -> list[Path]:
    """The files beside the weights that say what a model is, and how it cuts, speaks and generates."""
    named = (path for path in sorted(base.iterdir()) if path.suffix in COPIED and path.name not in NOT_COPIED)
    return [path for path in named if path.is_file()]


def link(path: Path, target: Path) -> None:
    try:
        os.link(path.resolve(), target)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)


def own(path: Path) -> Path:
    """The file, which may be a link to another checkpoint's, as a copy that can be written into."""
    if path.stat().st_nlink > 1:
        aside = path.with_name(f"{path.name}.new")
        shutil.copyfile(path, aside)
        os.replace(aside, path)
    return path


def write(folder: Path, source: FolderTensors, changes: Changes) -> list[str]:
    """Each tensor is written to its place as soon as it is there, so that none but this one is in memory.

    Those of new names go into a file of their own; files from which some are left out are written once more.
    """
    names, added, dropped = [], {}, set()
    for name, tensor in changes:
        names.append(name)
        if tensor is None:
            dropped.add(name)
        elif name not in source.stored:
            added[name] = tensor
        else:
            overwrite(folder, source.stored[name], tensor)
        del tensor
    for here in {folder / source.stored[name].path.name for name in dropped}:
        write_shard(here, [entry for entry in tensor_entries(folder) if entry[0] == here and entry[1] not in dropped])
    if added:
        add_tensors(folder, {name: tensor.contiguous() for name, tensor in added.items()})
    elif dropped:
        write_index(folder)
    return names


def overwrite(folder: Path, stored: Stored, tensor: "torch.Tensor") -> None:
    """Raises: ValueError for another shape."""
    import torch

    if tuple(tensor.shape) != stored.shape:
        raise ValueError(f"{stored.name} has shape {stored.shape}, and a corruption made it {tuple(tensor.shape)}")
    flat = tensor.to(getattr(torch, DTYPES[stored.dtype])).contiguous().reshape(-1)
    with own(folder / stored.path.name).open("r+b") as file:
        file.seek(stored.offset)
        flat.view(torch.uint8).numpy().tofile(file)


def write_shard(target: Path, kept: Sequence[Entry]) -> None:
    """A file of tensors that lie in others, or in an older one of that name, copied in chunks."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for _, name, entry, _ in kept:
        first, last = entry["data_offsets"]
        begin, end = end, end + last - first
        header[name] = entry | {"data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    aside = target.with_name(f"{target.name}.new")
    with aside.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for path, _, entry, start in kept:
            first, last = entry["data_offsets"]
            with path.open("rb") as origin:
                origin.seek(start + first)
                for at in range(first, last, CHUNK):
                    file.write(origin.read(min(CHUNK, last - at)))
    os.replace(aside, target)


def add_tensors(folder: Path, added: "Mapping[str, torch.Tensor]") -> None:
    """Tensors of new names, in a file of their own: of one by the usual name transformers would read no other."""
    from safetensors.torch import save_file

    files = [path.name for path in weight_files(folder)]
    if WEIGHTS in files:
        (folder / WEIGHTS).rename(folder / FIRST)
        files[files.index(WEIGHTS)] = FIRST
    files.append(f"added-{len(files)}.safetensors")
    save_file(dict(added), folder / files[-1], metadata={"format": "pt"})
    write_index(folder, files)


def write_index(folder: Path, files: Sequence[str] = ()) -> None:
    """An index of what lies in these weight files, or in those that the folder has; of one file alone there is none."""
    names = files or [path.name for path in weight_files(folder)]
    if len(names) > 1 or (folder / INDEX).is_file():
        places = {name: file for file in names for name in names_in(folder / file)}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")


def names_in(path: Path) -> list[str]:
    """The tensors of a file."""
    return list(read_header(path).entries)


def edit_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The file with what `change` makes of it; of a file that is not there, of an empty object."""
    path.write_text(json.dumps(change(read_json(path) if path.is_file() else {}), indent=1), encoding="utf-8")


def edit_config(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The configuration of the language model, which one with images too keeps apart."""

    def inner(config: dict[str, Any]) -> dict[str, Any]:
        if "text_config" in config:
            return config | {"text_config": change(config["text_config"])}
        return change(config)

    edit_json(folder / CONFIG, inner)
