"""What a folder says beside its weights, as transformers reads it: defaults filled in, old forms in today's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint

GENERATION = "generation_config.json"


def configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    with readable(folder):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def fields_read(folder: Path) -> dict[str, Any]:
    """The fields of a configuration that its family knows, with defaults; a note beside them is read by nobody."""
    found = configuration(folder)
    fields: dict[str, Any] = found.to_dict()
    try:
        known = type(found)().to_dict()
    except (TypeError, ValueError):  # a family without defaults: all its fields are taken to be read
        known = fields
    return {name: value for name, value in fields.items() if name in known}


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with readable(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def generation(folder: Path) -> Any:
    """How the model generates where it is not told: by its file, or else by its configuration."""
    from transformers import GenerationConfig

    with readable(folder):
        if (folder / GENERATION).is_file():
            return GenerationConfig.from_pretrained(folder, local_files_only=True)
        return GenerationConfig.from_model_config(configuration(folder))


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raises: InvalidCheckpoint for whatever transformers and tokenizers raise: the folder is at fault."""
    try:
        yield
    except InvalidCheckpoint:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidCheckpoint(f"{folder} cannot be loaded: {first}") from error
