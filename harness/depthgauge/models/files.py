"""The files of a checkpoint's folder: which of them transformers reads, checked and read.

The rules are those of transformers 5.23 `from_pretrained` on a local folder. Only `check_finite` imports torch.
"""

import json
import os.path
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.installed import version
from depthgauge.core.outside import ADAPTER as ADAPTER
from depthgauge.core.outside import CONFIG as CONFIG
from depthgauge.models.header import read_header
from depthgauge.models.unreadable import pointer, without_weights, wrapped_names

WEIGHTS, INDEX, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
GENERATION, TOKENIZER_CONFIG = "generation_config.json", "tokenizer_config.json"
CHAT_TEMPLATE, CHAT_TEMPLATES, CHUNK = "chat_template.jinja", "additional_chat_templates", 1 << 24
BESIDE_TOKENIZER = (TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json", CHAT_TEMPLATE)
# What families read where there is no tokenizer.json.
VOCABULARIES = (
    "vocab.json", "merges.txt", "vocab.txt", "*.model", "tekken.json", "*.tiktoken", "*.bpe.model", "dict.txt",
    "bpe.codes", "emoji.json", "byte_maps.json",
)  # fmt: skip
VERSIONED = re.compile(r"(config|tokenizer)\.(.+)\.json")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a checkpoint's weights, in the order of their names.

    Raises: InvalidCheckpoint as `weights_entry`, or if the index names a file that is missing or outside the folder.
    """
    entry = weights_entry(folder)
    return shards(folder, entry) if entry.name.endswith(".index.json") else [entry]


def weights_entry(folder: Path) -> Path:
    """The file that transformers opens first: what config.json names, or model.safetensors, or else the index.

    Raises: InvalidCheckpoint if there is none.
    """
    named = read_config(folder).get("transformers_weights") if (folder / CONFIG).is_file() else None
    if named and not inside(folder, str(named), CONFIG).is_file():
        raise InvalidCheckpoint(f"{folder / CONFIG} names the weights {named!r}, which are not there: copy them too.")
    entry = next((name for name in (named, WEIGHTS, INDEX) if name and (folder / str(name)).is_file()), None)
    if entry is None:
        raise InvalidCheckpoint(without_weights(folder))
    return folder / str(entry)


def shards(folder: Path, index: Path) -> list[Path]:
    """The files that an index names. Raises: InvalidCheckpoint as `weight_files`."""
    weight_map = read_json(index).get("weight_map")
    named = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not named or not all(isinstance(name, str) for name in named):
        raise InvalidCheckpoint(f"{index} names no weights: save the model again, or copy the folder again.")
    paths = [inside(index.parent, name, index.name) for name in sorted(named)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InvalidCheckpoint(f"{folder} is missing {', '.join(missing)}, named in {index.name}: copy it again.")
    return paths


def inside(folder: Path, name: str, by: str) -> Path:
    """The file of that name in a folder. Raises: InvalidCheckpoint for a name that leads out of it."""
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.isabs(name) or not path.startswith(os.path.join(os.path.normpath(folder), "")):
        raise InvalidCheckpoint(f"{by} in {folder} names {name!r}, outside the folder: copy that file into it.")
    return Path(path)


def config_files(folder: Path) -> list[Path]:
    """config.json, and the file for this version of transformers where it names one: the last is what holds."""
    base = folder / CONFIG
    listed = read_json(base).get("configuration_files") if base.is_file() else None
    return list(dict.fromkeys([base, folder / versioned(listed, CONFIG)]))


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that transformers reads. Raises: InvalidCheckpoint if it cannot be read."""
    return read_json(config_files(folder)[-1])


def versioned(listed: Any, default: str) -> str:
    """The newest file of a list such as config.4.0.0.json that is not newer than the installed transformers."""
    installed, chosen = Version(version("transformers")), default
    for name in sorted(name for name in listed or () if isinstance(name, str)):
        match = VERSIONED.fullmatch(name)
        try:
            if match and Version(match[2]) <= installed:
                chosen = name
        except InvalidVersion:
            continue
    return chosen


def tokenizer_files(folder: Path) -> list[Path]:
    """What a tokenizer is read from: tokenizer.json and what stands beside it, or the vocabulary of its family."""
    beside = folder / TOKENIZER_CONFIG
    listed = read_json(beside).get("fast_tokenizer_files") if beside.is_file() else None
    whole = folder / versioned(listed, TOKENIZER)
    words = [whole] if whole.is_file() else [path for name in VOCABULARIES for path in sorted(folder.glob(name))]
    templates = sorted((folder / CHAT_TEMPLATES).glob("*.jinja"))
    paths = [*words, *(folder / name for name in BESIDE_TOKENIZER), *templates]
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def has_tokenizer(folder: Path) -> bool:
    return any(path.name not in BESIDE_TOKENIZER for path in tokenizer_files(folder) if path.parent == folder)


def files_read(folder: Path) -> list[Path]:
    """Every file of a folder that `from_pretrained` of its model, tokenizer and generation settings reads.

    Raises: InvalidCheckpoint as `weight_files`.
    """
    adapter = [folder / ADAPTER, folder / ADAPTER_WEIGHTS] if (folder / ADAPTER).is_file() else []
    beside = [*config_files(folder), folder / GENERATION, *adapter, *tokenizer_files(folder)]
    return [path for path in dict.fromkeys([weights_entry(folder), *weight_files(folder), *beside]) if path.is_file()]


def left_over(folder: Path) -> str | None:
    """What of a folder's weights transformers does not read, in a sentence; None where it reads them all."""
    read = {weights_entry(folder), *weight_files(folder)}
    if (folder / ADAPTER).is_file():
        read.add(folder / ADAPTER_WEIGHTS)
    weights = sorted({*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")} - read)
    if not weights:
        return None
    return (
        f"{folder} also holds {', '.join(path.name for path in weights)[:200]}, which transformers does not read: it "
        f"reads {weights_entry(folder).name}"
    )


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in weight_files(folder))


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: copy it again.") from error
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{path} must hold a JSON object, got {type(value).__name__}: copy it again.")
    return value


def shapes(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of every tensor, from the headers alone."""
    return {name: (entry["dtype"], tuple(entry["shape"])) for _, name, entry, _ in tensor_entries(folder)}


def tensor_entries(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any], int]]:
    """File, name, header entry and start of the data, of every tensor.

    Raises: InvalidCheckpoint if a tensor lies in two files, or a file cannot be read.
    """
    held: dict[str, Path] = {}
    for path in weight_files(folder):
        header = read_header(path)
        for name, entry in header.entries.items():
            if name in held:
                raise InvalidCheckpoint(
                    f"{name} lies in both {held[name].name} and {path.name} of {folder}: save the model again, as one "
                    "of the two would be lost."
                )
            held[name] = path
            yield path, name, entry, header.start


def check_weights(folder: Path) -> None:
    """Read every header. Raises: InvalidCheckpoint if one cannot be trusted, the tensors' names are a wrapper's, or a
    file is a pointer of Git LFS.
    """
    pointers = (pointer(path) for path in files_read(folder))
    if (points := next(filter(None, pointers), None)) is not None:
        raise InvalidCheckpoint(points)
    names = [name for _, name, _, _ in tensor_entries(folder)]
    said = wrapped_names(folder, names)
    if said is not None:
        raise InvalidCheckpoint(said)


def check_finite(folder: Path) -> None:
    """Read every tensor once. Raises: InvalidCheckpoint naming the first that holds NaN or infinity."""
    from safetensors import safe_open

    for shard in weight_files(folder):
        with safe_open(shard, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  not a dict
                bad = int((~tensors.get_tensor(name).isfinite()).sum())
                if bad:
                    raise InvalidCheckpoint(
                        f"{folder} has {bad} weights in {name} that are NaN or infinite: train it again, or save it in "
                        "float32.",
                        code="not-finite",
                    )
