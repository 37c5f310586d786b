"""The files of a checkpoint's folder: found, checked and read. Only `check_finite` imports torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.outside import ADAPTER as ADAPTER
from depthgauge.core.outside import CONFIG as CONFIG
from depthgauge.models.header import read_header

WEIGHTS, INDEX, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
CHAT_TEMPLATE, CHUNK = "chat_template.jinja", 1 << 24
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


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


def shapes(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of every tensor, from the headers alone."""
    return {name: (entry["dtype"], tuple(entry["shape"])) for _, name, entry, _ in tensor_entries(folder)}


def tensor_entries(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any], int]]:
    """File, name, header entry and start of the data, of every tensor."""
    for path in weight_files(folder):
        header = read_header(path)
        yield from ((path, name, entry, header.start) for name, entry in header.entries.items())


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
