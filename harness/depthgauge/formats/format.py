"""What a format of quantised weights is, and which one a checkpoint is stored in.

A format gives the plain weights of a checkpoint out of what it stores: tensor by tensor, in float32, without a model.
Ours lie in `depthgauge.formats.quantized`, a file each; a package brings another one by registering it in a module of
the entry point group 'depthgauge', as it does with a probe. See docs/adding-a-format.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats import quantized
from depthgauge.formats.tensors import NOT_WEIGHTS, Stored, Tensor, quantization


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """`name` is what `quant_method` of a configuration's quantization_config says.

    `tensors` takes what is stored, by name, and all of config.json. It gives the weights under their plain names
    ('model.layers.0.mlp.up_proj.weight'): `Computed` for those that are quantised, and the rest as they are stored.
    It raises InvalidCheckpoint, naming the tensor, where what is stored is not what the configuration says.
    """

    name: str
    tensors: Callable[[Mapping[str, Stored], Mapping[str, Any]], Mapping[str, Tensor]]


def format_of(folder: Path, config: Mapping[str, Any]) -> Format | None:
    """The format that a configuration names; None for plain weights.

    Raises: InvalidCheckpoint for one without a reader.
    """
    settings = quantization(config)
    if settings is None:
        return None
    for module in iter_modules(quantized.__path__, f"{quantized.__name__}."):
        import_module(module.name)
    name = str(settings.get("quant_method"))
    if name not in FORMATS:
        raise InvalidCheckpoint(
            f"{folder} is quantised as {name!r} (quant_method in config.json), which nothing here reads: the formats "
            f"that are read are {', '.join(sorted(FORMATS))}; save it in one of them, or dequantised."
        )
    known: Format = FORMATS[name]
    return known


def dequantized(folder: Path, stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The plain weights of a quantised folder. Raises: InvalidCheckpoint, as `format_of` and the format do."""
    by_format = format_of(folder, config)
    if by_format is None:
        return stored
    weights = by_format.tensors(stored, config)
    for name, tensor in weights.items():
        if name.endswith(".weight") and tensor.dtype in NOT_WEIGHTS:
            raise InvalidCheckpoint(
                f"{name} in {tensor.path} is stored as {tensor.dtype} without what {by_format.name} needs to read it: "
                "copy the folder again."
            )
    return weights
