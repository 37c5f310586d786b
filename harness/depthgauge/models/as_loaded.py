"""Under which names an architecture loads the tensors of a folder, and out of which of them it makes a parameter.

By transformers' own conversion mapping on a model without memory ("meta"). That mapping is not public: where an
installed version has none, `WithoutMapping` is raised, and the model has to be loaded to be asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthgauge.models import settings

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


class WithoutMapping(Exception):
    """The installed transformers does not say how it loads names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A parameter of a model and the stored tensors that it is made of; `convert` is None where it is one of them."""

    name: str
    shape: Shape
    sources: tuple[str, ...]
    convert: "Callable[[Sequence[torch.Tensor]], torch.Tensor] | None" = None


def parameters(folder: Path, stored: Mapping[str, Shape]) -> list[Parameter]:
    """What a model makes of the `stored` tensors of its folder; one that it has no use for keeps its own name, or
    is left out where its architecture says that it is, as layers for predicting several tokens are.

    Raises: InvalidCheckpoint if transformers cannot build the model, or cannot convert a tensor; WithoutMapping.
    """
    model = on_meta(folder)
    renamings, converters = mapping_of(model)
    expected = model.state_dict()
    groups: dict[str, tuple[Any, list[tuple[str, str]]]] = {}
    listed: list[Parameter] = []
    for name in sorted(stored, key=natural_key()):
        target, pattern = target_of(name, renamings, converters, model.base_model_prefix, expected)
        if target not in expected and is_ignored(model, target):
            continue
        if target not in expected:
            listed.append(Parameter(name=name, shape=stored[name], sources=(name,)))
        elif pattern is None:
            listed.append(Parameter(name=target, shape=stored[name], sources=(name,)))
        else:
            converter = next(each for each in converters if pattern in each.source_patterns)
            groups.setdefault(target, (converter, []))[1].append((name, pattern))
    for first, (converter, sources) in groups.items():
        with settings.readable(folder):
            listed += converted(first, converter, sources, stored, model)
    return listed


def on_meta(folder: Path) -> Any:
    """The model of a folder, without numbers."""
    import torch

    config = settings.configuration(folder)
    with settings.readable(folder), torch.device("meta"):
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # what is stored is given dequantised
        return settings.auto_class(config).from_config(config, trust_remote_code=False)


def mapping_of(model: Any) -> tuple[list[Any], list[Any]]:
    """The renamings and the converters of a model. Raises: WithoutMapping."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        mapping = get_model_conversion_mapping(model)
    except (ImportError, AttributeError, TypeError) as error:
        raise WithoutMapping(str(error)) from error
    return (
        [each for each in mapping if isinstance(each, WeightRenaming)],
        [each for each in mapping if isinstance(each, WeightConverter)],
    )


def is_ignored(model: Any, name: str) -> bool:
    """Whether an architecture leaves out tensors of this name without a word."""
    patterns = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return any(re.search(pattern, name) for pattern in patterns)


def natural_key() -> Callable[[str], Any]:
    """The order in which transformers collects tensors: experts by number."""
    from transformers.core_model_loading import dot_natural_key

    key: Callable[[str], Any] = dot_natural_key
    return key


def target_of(
    name: str, renamings: list[Any], converters: list[Any], prefix: str, expected: Mapping[str, Any]
) -> tuple[str, str | None]:
    """The parameter that a stored tensor goes into, and the pattern of the converter that it goes through."""
    from transformers.core_model_loading import rename_source_key

    target, pattern = rename_source_key(name, renamings, converters, prefix, expected)
    if target not in expected and name in expected:
        target, pattern = rename_source_key(name, [], [], prefix, expected)
    return str(target), pattern


def converted(
    first: str, converter: Any, sources: Sequence[tuple[str, str]], stored: Mapping[str, Shape], model: Any
) -> list[Parameter]:
    """The parameters that a converter makes of its sources, with their shapes."""
    import torch

    def convert(tensors: Sequence["torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        conversion = deepcopy(converter)
        for (name, pattern), tensor in zip(sources, tensors, strict=True):
            conversion.add_tensor(first, name, pattern, tensor)
        made = conversion.convert(first, model=model, config=model.config)
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

    def part(name: str) -> Callable[[Sequence["torch.Tensor"]], "torch.Tensor"]:
        return lambda tensors: convert(tensors)[name]

    names = tuple(name for name, _ in sources)
    shapes = convert([torch.empty(stored[name], device="meta") for name in names])
    return [
        Parameter(name=name, shape=tuple(tensor.shape), sources=names, convert=part(name))
        for name, tensor in shapes.items()
    ]


def loaded_state(folder: Path) -> "dict[str, torch.Tensor]":
    """All parameters as `from_pretrained` loads them, for versions that do not say how they would."""
    with settings.readable(folder):
        model = settings.auto_class(settings.configuration(folder)).from_pretrained(
            folder, dtype="auto", use_safetensors=True, trust_remote_code=False
        )
    state: dict[str, Any] = model.state_dict()
    return state
