"""A checkpoint folder as files: checked, and named by its content. Only `check_finite` imports torch."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from depthgauge.errors import InvalidCheckpoint, NotTestable, UsageError
from depthgauge.models.header import read_header
from depthgauge.store.folders import sha256
from depthgauge.types import Checkpoint

WEIGHTS, INDEX, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
CHAT_TEMPLATE, CHUNK = "chat_template.jinja", 1 << 24
CONFIG, ADAPTER = "config.json", "adapter_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a checkpoint's, by its files' names: weights beside a configuration, or an adapter."""
    with suppress(OSError):  # a folder that may not be read
        return (folder / ADAPTER).is_file() or ((folder / CONFIG).is_file() and any(folder.glob("*.safetensors")))
    return False


def checkpoint_around(path: Path) -> Path | None:
    """The checkpoint's folder that a path is, or lies in; None where there is none."""
    whole = path.resolve()
    return next((folder for folder in (whole, *whole.parents) if is_checkpoint(folder)), None)


def check_outside(path: Path, option: str) -> None:
    """Raises: UsageError, naming the option, for a place to write to that is a checkpoint's folder or lies in one."""
    checkpoint = checkpoint_around(path)
    if checkpoint is not None:
        raise UsageError(
            f"{path} lies in the checkpoint {checkpoint}, into which nothing is written: give another place with "
            f"{option}."
        )


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


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in the order of their names."""
    if (folder / INDEX).is_file():
        shards = read_json(folder / INDEX).get("weight_map", {})
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            lost = ", ".join(missing) or "all shards"
            raise InvalidCheckpoint(f"{folder} is missing {lost}, named in {INDEX}: copy the folder again.")
        return [folder / name for name in names]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise InvalidCheckpoint(
            f"{folder} has pickled weights ({pickled[0]}), which can run code and are never opened: re-save it with "
            "save_pretrained, which writes safetensors."
        )
    raise InvalidCheckpoint(f"{folder} has no {WEIGHTS}: save the model there with save_pretrained.")


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in weight_files(folder))


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: copy it again.") from error
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{path} must hold a JSON object, got {type(value).__name__}: copy it again.")
    return value


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


def shapes(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of every tensor, from the headers alone."""
    return {name: (entry["dtype"], tuple(entry["shape"])) for _, name, entry, _ in tensor_entries(folder)}


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


def tensor_entries(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any], int]]:
    """File, name, header entry and start of the data, of every tensor."""
    for path in weight_files(folder):
        header = read_header(path)
        yield from ((path, name, entry, header.start) for name, entry in header.entries.items())


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
                        "float32."
                    )
