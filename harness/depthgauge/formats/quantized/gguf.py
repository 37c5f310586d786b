"""What was a GGUF file, dequantised once (`depthgauge.models.gguf`): the weights as they are, and the bits they had."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, counted, inferred
from depthgauge.formats.tensors import Computed, Stored, Tensor, quantization, whole

GROUP, SUPERBLOCK = 32, 256  # weights: the blocks of most types, and of the K and IQ types
SHARE_A_SCALE = {"Q2_K": 16, "Q3_K": 16, "Q6_K": 16}  # where it is not 32
EVEN = re.compile(r"Q[2-6]_[01K]")  # types whose levels are evenly spaced


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    types = (quantization(config) or {}).get("types") or {}
    readable: dict[str, Tensor] = dict(stored)
    for name, tensor in stored.items():
        named = types.get(name)
        if named is not None:
            readable[name] = Computed(
                name=name, path=tensor.path, shape=tensor.shape, bits=bits_of(str(named)),
                group=group_of(str(named)),
                compute=partial(computed, tensor), levels=levels_of(tensor, str(named)),
            )  # fmt: skip
    return readable


def bits_of(name: str) -> float:
    """By the name of a type, as Q4_K, IQ3_S or MXFP4: its first digit."""
    digit = re.search(r"\d", name)
    return float(digit[0]) if digit else 8.0


def group_of(name: str) -> int:
    """The K and IQ types round the scales of blocks as parts of the largest: by what counts beside that one."""
    return SUPERBLOCK if name.endswith("_K") or (name.startswith("IQ") and name != "IQ4_NL") else GROUP


def computed(tensor: Stored) -> NDArray[np.float32]:
    return whole(tensor).astype(np.float32, copy=False)


def levels_of(tensor: Stored, name: str) -> Callable[[], Levels] | None:
    """The converted weights keep no scale: it shows in the weights that share it. None for a type of other levels."""
    size = SHARE_A_SCALE.get(name, GROUP)
    if tensor.shape[-1] % size:
        return None
    if name == "Q8_0":
        return lambda: of_largest(computed(tensor), size)
    return (lambda: inferred(computed(tensor), int(bits_of(name)), size)) if EVEN.fullmatch(name) else None


def of_largest(weight: NDArray[np.float32], size: int) -> Levels:
    """Q8_0: the largest of a block has the code 127."""
    scale = np.abs(weight.reshape(*weight.shape[:-1], -1, size)).max(-1, keepdims=True) / np.float32(127)
    return counted(8, np.broadcast_to(scale, (*scale.shape[:-1], size)).reshape(weight.shape), np.float32(-128))


FORMATS.register(Format(name="gguf", tensors=tensors))
