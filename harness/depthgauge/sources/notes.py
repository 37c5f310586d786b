"""What is worth a sentence about a checkpoint's files, and is no fault of theirs."""

import re
from pathlib import Path
from typing import Any

from depthgauge.models.files import GENERATION, TOKENIZER, left_over, read_config, read_json

HEAD = 2000  # bytes of tokenizer.json, in which its first fields lie
TRUNCATION = re.compile(rb'"truncation":\s*\{[^}]*"max_length":\s*(\d+)')


def notes(folder: Path) -> list[str]:
    """What is no difference and worth a sentence: files that nobody reads, a pad token that also ends
    answers, texts that are cut off.
    """
    unread = left_over(folder)
    config = read_config(folder)
    generation = read_json(folder / GENERATION) if (folder / GENERATION).is_file() else config
    pad, ends = config.get("pad_token_id"), as_list(generation.get("eos_token_id"))
    masked = (
        f"pad_token_id {pad} is one of eos_token_id {ends}: a loss that masks padding masks the end of answers, too, "
        "so that a model trained with it may not learn to stop"
    )
    return [text for text in (unread, masked if pad is not None and pad in ends else None, cut_off(folder)) if text]


def cut_off(folder: Path) -> str | None:
    """That tokenizer.json keeps a truncation, which a training that truncates leaves there, in a sentence."""
    path = folder / TOKENIZER
    if not path.is_file():
        return None
    with path.open("rb") as file:
        match = TRUNCATION.search(file.read(HEAD))
    if match is None:
        return None
    return (
        f"{path} cuts texts at {int(match[1])} tokens where it is read without transformers, which does not: set its "
        "truncation to null, if that is not meant"
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
