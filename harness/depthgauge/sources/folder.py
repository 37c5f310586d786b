"""A checkpoint folder: checked as a whole, and named by its content."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, UsageError
from depthgauge.core.method import Checkpoint
from depthgauge.models.files import (
    ADAPTER,
    CHAT_TEMPLATE,
    CHUNK,
    CONFIG,
    TOKENIZER,
    read_json,
    tensor_entries,
    weight_files,
)
from depthgauge.models.header import read_header
from depthgauge.store.folders import sha256


def check_folder(folder: Path) -> None:
    """Refuse what is not a whole checkpoint made of data alone, before anything is loaded or trained.

    Raises: UsageError if there is no such folder or it holds no config.json; InvalidCheckpoint if its weights are
    pickled, truncated or missing a shard, or it asks for code of its own.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no checkpoint folder {folder}: give the folder that holds config.json.")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is not a checkpoint: it holds no config.json; {where_one_is(folder)}.")
    config = read_json(folder / "config.json")
    tokenizer_config = folder / "tokenizer_config.json"
    if "auto_map" in config or (tokenizer_config.is_file() and "auto_map" in read_json(tokenizer_config)):
        raise InvalidCheckpoint(
            f"{folder} asks for remote code (auto_map), which is never run: re-save it with an architecture that "
            "transformers ships."
        )
    if (folder / ADAPTER).is_file():
        raise InvalidCheckpoint(
            f"{folder} holds an adapter ({ADAPTER}), which would change the weights unseen: merge it, and save the "
            "whole model."
        )
    for shard in weight_files(folder):
        read_header(shard)


def where_one_is(folder: Path) -> str:
    """Trainers put what transformers loads below their own state: the newest, or what to do where there is none."""
    below = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"{depth}/{CONFIG}")]
    if not below:
        return "save the model there first"
    newest = max(below, key=lambda path: path.stat().st_mtime_ns).parent
    more = f" (and {len(below) - 1} more folders do)" if below[1:] else ""
    return f"{newest} does{more}, so name that"


def fingerprint(folder: Path, hashed_as: Callable[[Path], str] = sha256) -> str:
    """A 16-digit hash of the weights, the configuration, the tokenizer and the chat template of a checkpoint."""
    beside = ("config.json", TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", CHAT_TEMPLATE)
    hashed = hashlib.sha256()
    for path in [*weight_files(folder), *(folder / name for name in beside)]:
        if path.is_file():
            hashed.update(f"{path.name}:{hashed_as(path)}\n".encode())
    return hashed.hexdigest()[:16]


# What a configuration says of where and by what it was saved, and not of what it computes.
UNCOMPUTED = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures", "use_cache")


def tensor_digest(folder: Path) -> str:
    """A hash of every tensor's name and bytes, whatever file they lie in."""
    hashed = hashlib.sha256()
    for path, name, entry, start in sorted(tensor_entries(folder), key=lambda one: one[1]):
        first, last = entry["data_offsets"]
        hashed.update(f"{name}:".encode())
        with path.open("rb") as file:
            file.seek(start + first)
            for _ in range(first, last, CHUNK):
                hashed.update(file.read(min(CHUNK, start + last - file.tell())))
    return hashed.hexdigest()


def model_type(folder: Path) -> str:
    """The family that a folder's configuration names."""
    return str(read_json(folder / CONFIG).get("model_type"))


def check_language_model(checkpoint: Checkpoint) -> None:
    """Raises: as `check_language_folder`."""
    check_language_folder(checkpoint.folder)


def check_language_folder(folder: Path) -> None:
    """Raises: NotTestable for a checkpoint of another kind; InvalidCheckpoint for a language model without tokenizer.

    From the files alone: transformers writes `architectures`, and a language model lies beside its tokenizer.
    """
    if (folder / TOKENIZER).is_file():
        return
    if "architectures" not in read_json(folder / CONFIG):
        raise NotTestable(f"{folder} is a {model_type(folder)} checkpoint, and this is asked of language models")
    raise InvalidCheckpoint(f"{folder} has no {TOKENIZER}: save the tokenizer beside the model.")
