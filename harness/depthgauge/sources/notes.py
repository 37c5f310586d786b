"""What is worth a sentence about a checkpoint's files, and is no fault of theirs."""

from pathlib import Path
from typing import Any

from depthgauge.models.files import GENERATION, left_over, read_config, read_json


def notes(folder: Path) -> list[str]:
    """What is no difference and worth a sentence: files that nobody reads, a pad token that also ends answers."""
    unread = left_over(folder)
    config = read_config(folder)
    generation = read_json(folder / GENERATION) if (folder / GENERATION).is_file() else config
    pad, ends = config.get("pad_token_id"), as_list(generation.get("eos_token_id"))
    masked = (
        f"pad_token_id {pad} is one of eos_token_id {ends}: a loss that masks padding masks the end of answers, too, "
        "so that a model trained with it may not learn to stop"
    )
    return [text for text in (unread, masked if pad is not None and pad in ends else None) if text]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
