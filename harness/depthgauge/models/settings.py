"""What a folder says beside its weights, as transformers reads it: defaults filled in, old forms in today's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.models.files import GENERATION

LONGEST_REASON = 600  # characters of what a library raised


def configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    with readable(folder):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def auto_class(config: Any) -> Any:
    """The class of transformers that opens a language model of this configuration: one that reads images beside text
    is among those for both, where it is not among those for text alone.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kinds = AutoModelForCausalLM, AutoModelForImageTextToText
    return next((kind for kind in kinds if type(config) in kind._model_mapping), AutoModelForCausalLM)


def fields_read(folder: Path) -> dict[str, Any]:
    """The fields of a configuration that its family knows, with defaults; a note beside them is read by nobody."""
    settings = configuration(folder)
    fields: dict[str, Any] = settings.to_dict()
    try:
        known = type(settings)().to_dict()
    except (TypeError, ValueError):  # a family without defaults: all its fields are taken to be read
        known = fields
    return {name: value for name, value in fields.items() if name in known}


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with readable(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def generation(folder: Path) -> dict[str, Any]:
    """How the model generates where it is not told, defaults filled in: by its file, or else by its configuration."""
    from transformers import GenerationConfig

    with readable(folder):
        if (folder / GENERATION).is_file():
            given = GenerationConfig.from_pretrained(folder, local_files_only=True)
        else:
            given = GenerationConfig.from_model_config(configuration(folder))
        defaults: dict[str, Any] = getattr(
            given, "_get_default_generation_params", dict
        )()  # versions before 5 have them filled in
        return {name: defaults.get(name) if value is None else value for name, value in given.to_dict().items()}


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raises: InvalidCheckpoint for whatever transformers and tokenizers raise: the folder is at fault."""
    try:
        yield
    except InvalidCheckpoint:
        raise
    except Exception as error:
        raise InvalidCheckpoint(f"{folder} cannot be loaded: {reason(error)}", code="unreadable") from error


def reason(error: Exception) -> str:
    """What a library raised, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def is_shipped(family: str) -> bool:
    """Whether transformers ships the architecture that a configuration names as its model_type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return family in CONFIG_MAPPING_NAMES
