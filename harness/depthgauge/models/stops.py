"""Which tokens end an answer, as transformers reads a folder; from the files alone."""

from pathlib import Path
from typing import Any

from depthgauge.formats.tensors import configuration
from depthgauge.models.files import GENERATION, read_json


def stop_tokens(folder: Path) -> tuple[int, ...]:
    """By generation_config.json where there is one, or else by the configuration; none where these name none.

    Raises: InvalidCheckpoint where neither can be read.
    """
    path = folder / GENERATION
    named: Any = (read_json(path) if path.is_file() else configuration(folder)).get("eos_token_id")
    return tuple(named) if isinstance(named, list) else () if named is None else (named,)
