"""Whether two checkpoint folders hold the same model, however it is stored."""

from pathlib import Path
from typing import Any

from depthgauge.models.files import GENERATION, has_tokenizer, read_config, read_json, shapes
from depthgauge.sources.folder import UNCOMPUTED, tensor_digest
from depthgauge.sources.tokenizer import read_pair

FIELDS_OF = ("config", "generation_config", "tokenizer", "chat_template")  # what may be allowed to differ, by field


def same_content(candidate: Path, baseline: Path) -> bool:
    """Whether two folders hold the same tensors, bit for bit and whatever their shards, and use them alike."""
    if configured(candidate) != configured(baseline) or shapes(candidate) != shapes(baseline):
        return False
    if not (has_tokenizer(candidate) and has_tokenizer(baseline)):
        return False
    first, second = read_pair(candidate, baseline)
    return first == second and tensor_digest(candidate) == tensor_digest(baseline)


def configured(folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields of a folder that say how it is used, of its configuration and of its settings of generation."""
    generation = read_json(folder / GENERATION) if (folder / GENERATION).is_file() else None
    return used(read_config(folder)), None if generation is None else used(generation)


def used(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in UNCOMPUTED}
