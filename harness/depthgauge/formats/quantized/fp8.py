"""Floats of 8 bits with a scale a block, as DeepSeek and transformers' FineGrainedFP8 write them: the weight is the
code times `weight_scale_inv`, in spite of the name.
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
from depthgauge.formats.packing import BYTES_AS_FLOATS, Grid, check_shape, read, scaled
from depthgauge.formats.targets import block_in, check_all_quantized, names_in
from depthgauge.formats.tensors import Computed, Stored, Tensor, quantization

CODES = ("F8_E4M3", "F8_E5M2")
SCALES = ("_scale_inv", "_scale")
OF_ACTIVATIONS = (".activation_scale", ".input_scale")


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    settings = quantization(config) or {}
    left_out = names_in(settings.get("modules_to_not_convert"))
    codes = {name: tensor for name, tensor in stored.items() if tensor.dtype in CODES}
    scales = {name: scale_of(stored, tensor) for name, tensor in codes.items()}
    taken = {scale.name for scale in scales.values()}
    readable: dict[str, Tensor] = {
        name: tensor
        for name, tensor in stored.items()
        if name not in codes and name not in taken and not name.endswith(OF_ACTIVATIONS)
    }
    for name, tensor in codes.items():
        readable[name] = weight(tensor, scales[name], settings.get("weight_block_size"))
    check_all_quantized(
        found_stored(readable), [name.removesuffix(".weight") for name in codes],
        lambda module: any(part in module for part in left_out), "modules_to_not_convert",
    )  # fmt: skip
    return readable


FORMATS.register(Format(name="fp8", tensors=tensors))


def found_stored(readable: Mapping[str, Tensor]) -> dict[str, Stored]:
    return {name: tensor for name, tensor in readable.items() if isinstance(tensor, Stored)}


def scale_of(stored: Mapping[str, Stored], tensor: Stored) -> Stored:
    for suffix in SCALES:
        if tensor.name + suffix in stored:
            return stored[tensor.name + suffix]
    raise InvalidCheckpoint(
        f"{tensor.name}_scale_inv is missing in {tensor.path}, where {tensor.name} is stored as {tensor.dtype}: copy "
        "the folder again."
    )


def weight(codes: Stored, scale: Stored, block: Any) -> Computed:
    if len(codes.shape) < 2:
        raise InvalidCheckpoint(f"{codes.name} in {codes.path} has shape {codes.shape}, and not rows and columns.")
    rows, columns = codes.shape[-2:]
    sizes = block_in(block) or (rows, columns)
    grid = Grid(codes.shape, sizes)
    single = [(), (1,)] if grid.scales == (1, 1) else []
    check_shape(scale, grid.scales, *single, why=f"blocks of {sizes[0]} by {sizes[1]} on {codes.shape}")
    return Computed(
        name=codes.name, path=codes.path, shape=codes.shape, bits=8, group=min(sizes[1], columns),
        compute=partial(computed, codes, scale, grid), levels=partial(levels_of, codes, scale, grid),
    )  # fmt: skip


def computed(codes: Stored, scale: Stored, grid: Grid) -> NDArray[np.float32]:
    return scaled(read(codes), grid.spread(read(scale).reshape(grid.scales)), codes)


def levels_of(codes: Stored, scale: Stored, grid: Grid) -> Levels:
    return listed(BYTES_AS_FLOATS[codes.dtype], grid.spread(read(scale).reshape(grid.scales)))
