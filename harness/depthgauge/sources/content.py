"""Whether two checkpoint folders hold the same model, however it is stored."""

from pathlib import Path
from typing import Any

from depthgauge.models.files import CONFIG, TOKENIZER, read_json, shapes
from depthgauge.sources.folder import UNCOMPUTED, tensor_digest
from depthgauge.sources.tokenizer import read_pair


def same_content(one: Path, other: Path) -> bool:
    """Whether two folders hold the same tensors, bit for bit and whatever their shards, and use them alike."""

    def computed(folder: Path) -> dict[str, Any]:
        return {key: value for key, value in read_json(folder / CONFIG).items() if key not in UNCOMPUTED}

    if computed(one) != computed(other) or shapes(one) != shapes(other):
        return False
    if not ((one / TOKENIZER).is_file() and (other / TOKENIZER).is_file()):
        return False
    mine, its = read_pair(one, other)
    return mine == its and tensor_digest(one) == tensor_digest(other)
