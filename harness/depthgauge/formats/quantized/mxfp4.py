"""MXFP4 as gpt-oss stores its experts: `_blocks` of 16 bytes, two codes each, the low nibble first, and a power of two
a block in `_scales`. The weight is stored by outputs, and the model has it by inputs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, listed
from depthgauge.formats.packing import E2M1, check_shape, nibbles, powers_of_two, read, scaled
from depthgauge.formats.tensors import Computed, Stored, Tensor

BLOCKS, SCALES = "_blocks", "_scales"
BITS = 4


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    readable: dict[str, Tensor] = {name: t for name, t in stored.items() if not name.endswith((BLOCKS, SCALES))}
    for name, blocks in stored.items():
        if name.endswith(BLOCKS):
            plain = name.removesuffix(BLOCKS)
            readable[plain] = weight(plain, blocks, stored.get(plain + SCALES))
    return readable


FORMATS.register(Format(name="mxfp4", tensors=tensors))


def weight(name: str, blocks: Stored, scales: Stored | None) -> Computed:
    if scales is None:
        raise InvalidCheckpoint(f"{name}{SCALES} is missing beside {blocks.name} in {blocks.path}: copy it again.")
    if blocks.dtype != "U8" or scales.dtype not in ("U8", "F8_E8M0") or len(blocks.shape) != 4:
        raise InvalidCheckpoint(
            f"{blocks.name} in {blocks.path} is stored as {blocks.dtype} {blocks.shape}, and not as bytes by expert, "
            "output and block: config.json and the weights are not of one quantisation."
        )
    experts, outputs, groups, size = blocks.shape
    check_shape(scales, (experts, outputs, groups), why="the blocks")
    return Computed(
        name=name, path=blocks.path, shape=(experts, groups * size * 2, outputs), bits=BITS, group=size * 2, axis=-2,
        compute=partial(computed, blocks, scales), levels=partial(levels_of, blocks, scales),
    )  # fmt: skip


def computed(blocks: Stored, scales: Stored) -> NDArray[np.float32]:
    """(experts, inputs, outputs), an expert at a time: they are the largest tensors that there are."""
    experts, outputs, groups, size = blocks.shape
    values = np.empty((experts, groups * size * 2, outputs), np.float32)
    powers = powers_of(scales)
    for expert, packed in enumerate(read(blocks)):
        codes = E2M1[nibbles(packed)]
        values[expert] = scaled(codes, powers[expert][..., None], blocks).reshape(outputs, -1).T
    return values


def levels_of(blocks: Stored, scales: Stored) -> Levels:
    *_, size = blocks.shape
    return listed(E2M1, powers_of(scales).repeat(2 * size, axis=-1).swapaxes(1, 2))


def powers_of(scales: Stored) -> NDArray[np.float32]:
    return read(scales) if scales.dtype == "F8_E8M0" else powers_of_two(read(scales))
