"""The weights of a folder under the names that its architecture loads them by, each made when it is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.formats.folder import tensors
from depthgauge.formats.tensors import NOT_WEIGHTS, Computed, Stored, Tensor, whole
from depthgauge.models.as_loaded import Parameter, WithoutMapping, loaded_state, parameters
from depthgauge.models.files import weight_files

if TYPE_CHECKING:
    import torch

BITS = {"F64": 64.0, "F32": 32.0, "BF16": 16.0, "F16": 16.0}


def as_loaded(folder: Path) -> dict[str, Tensor]:
    """As `tensors`, by the names of the model's parameters.

    Raises: InvalidCheckpoint as `tensors`, and if transformers cannot build the model.
    """
    stored = tensors(folder)
    try:
        made = parameters(folder, {name: tensor.shape for name, tensor in stored.items()})
    except WithoutMapping:
        return loaded(folder, stored)
    return {parameter.name: weight_of(parameter, stored) for parameter in made}


def weight_of(parameter: Parameter, stored: Mapping[str, Tensor]) -> Tensor:
    sources = [stored[name] for name in parameter.sources]
    if parameter.convert is None:
        return renamed(sources[0], parameter.name)
    return Computed(
        name=parameter.name,
        path=sources[0].path,
        shape=parameter.shape,
        compute=computing(parameter.convert, sources),
        bits=bits_of(sources[0]),
        group=1 if isinstance(sources[0], Stored) else sources[0].group,
        axis=-1 if isinstance(sources[0], Stored) else sources[0].axis,
    )


def renamed(tensor: Tensor, name: str) -> Tensor:
    if isinstance(tensor, Stored):
        return tensor._replace(name=name)
    return replace(tensor, name=name)


def computing(
    convert: "Callable[[Sequence[torch.Tensor]], torch.Tensor]", sources: Sequence[Tensor]
) -> Callable[[], NDArray[np.float32]]:
    """What makes a parameter of its sources, which are read then."""

    def compute() -> NDArray[np.float32]:
        import torch

        value: NDArray[np.float32] = convert([torch.from_numpy(whole(each)).float() for each in sources]).numpy()
        return value

    return compute


def bits_of(tensor: Tensor) -> float:
    return BITS[tensor.dtype] if isinstance(tensor, Stored) else tensor.bits


def loaded(folder: Path, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a model that is loaded whole; names that no file has are ties, and left out."""
    (first, *_) = weight_files(folder)
    state = loaded_state(folder)
    seen: dict[int, str] = {}
    distinct = {name: value for name, value in state.items() if seen.setdefault(value.data_ptr(), name) == name}

    def reading(value: Any) -> Callable[[], NDArray[np.float32]]:
        return lambda: value.float().numpy()

    bits = max(bits_of(tensor) for tensor in stored.values() if tensor.dtype not in NOT_WEIGHTS)
    return {
        name: Computed(name=name, path=first, shape=tuple(value.shape), compute=reading(value), bits=bits, group=1)
        for name, value in distinct.items()
        if value.is_floating_point()
    }
