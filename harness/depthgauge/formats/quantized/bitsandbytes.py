"""bitsandbytes: 4 bits that index a map of 16 numbers, scaled by the largest of each block, or int8 by row."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, counted, listed
from depthgauge.formats.packing import check_shape, nibbles, read, scaled
from depthgauge.formats.tensors import FLOATS, Computed, Stored, Tensor

STATE = ".quant_state.bitsandbytes__"
# Beside a weight of 4 bits, after its own name; beside one of 8, after its module's.
OF_4_BITS = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
OF_8_BITS = (".SCB", ".weight_format")
INT8_STEPS = 127


class State(NamedTuple):
    """What is stored of a weight of 4 bits beside its numbers, as JSON."""

    shape: tuple[int, ...]
    block: int
    nested_block: int | None
    nested_offset: float


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    readable: dict[str, Tensor] = {
        name: tensor for name, tensor in stored.items() if STATE not in name and not name.endswith(OF_8_BITS)
    }
    for name, tensor in stored.items():
        plain, is_state, _ = name.partition(STATE)
        if is_state:
            for suffix in OF_4_BITS:
                readable.pop(plain + suffix, None)
            readable[plain] = of_4_bits(plain, stored, tensor)
        elif name.endswith(".SCB"):
            plain = f"{name.removesuffix('.SCB')}.weight"
            readable[plain] = of_8_bits(plain, stored, tensor)
    return readable


FORMATS.register(Format(name="bitsandbytes", tensors=tensors))


def needed(stored: Mapping[str, Stored], name: str, state: Stored, *dtypes: str) -> Stored:
    if name not in stored:
        raise InvalidCheckpoint(f"{name} is missing in {state.path}, which has {state.name}: copy the folder again.")
    if stored[name].dtype not in dtypes:
        raise InvalidCheckpoint(
            f"{name} in {state.path} is stored as {stored[name].dtype}, and bitsandbytes has {' or '.join(dtypes)} "
            "there: quantise it again."
        )
    return stored[name]


def of_4_bits(name: str, stored: Mapping[str, Stored], tensor: Stored) -> Computed:
    state = state_of(tensor)
    codes = needed(stored, name, tensor, "U8")
    fields = {"codes": codes, "map": needed(stored, f"{name}.quant_map", tensor, *FLOATS)}
    count = math.prod(state.shape)
    blocks = -(-count // state.block)
    if math.prod(codes.shape) != -(-count // 2):
        check_shape(codes, (-(-count // 2), 1), why=f"weights of shape {state.shape}")
    check_shape(fields["map"], (16,), why="4 bits")
    sizes = fields["absmax"] = needed(stored, f"{name}.absmax", tensor, "U8" if state.nested_block else "F32", "BF16")
    if len(sizes.shape) == 2:
        raise InvalidCheckpoint(
            f"{sizes.name} in {sizes.path} has two axes, {sizes.shape}: bitsandbytes repacks weights for a CPU at the "
            "first forward pass, and what is saved after it is corrupt; quantise again, and save before any forward."
        )
    check_shape(sizes, (blocks,), why=f"{count} weights in blocks of {state.block}")
    if state.nested_block:
        fields["nested"] = needed(stored, f"{name}.nested_absmax", tensor, *FLOATS)
        fields["nested_map"] = needed(stored, f"{name}.nested_quant_map", tensor, *FLOATS)
        check_shape(fields["nested"], (-(-blocks // state.nested_block),), why=f"blocks of {state.nested_block} blocks")
        check_shape(fields["nested_map"], (256,), why="8 bits")
    return Computed(
        name=name, path=codes.path, shape=state.shape, bits=4, group=min(state.block, state.shape[-1]),
        compute=partial(computed, fields, state), levels=partial(levels_of, fields, state),
    )  # fmt: skip


def state_of(tensor: Stored) -> State:
    """Raises: InvalidCheckpoint for what is no state of bitsandbytes."""
    try:
        settings = json.loads(bytes(read(tensor)))
        shape = tuple(int(size) for size in settings["shape"])
        nested = settings.get("nested_blocksize")
        state = State(
            shape, int(settings["blocksize"]), int(nested) if nested else None, float(settings.get("nested_offset", 0))
        )
        if not shape or min(*shape, state.block, state.nested_block or 1) < 1:
            raise ValueError(f"sizes below 1 in {settings}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidCheckpoint(
            f"{tensor.name} in {tensor.path} is no state of bitsandbytes ({type(error).__name__}): quantise it again."
        ) from error
    return state


def computed(fields: dict[str, Stored], state: State) -> NDArray[np.float32]:
    """Each code's number times the largest of its block, which may be stored in 8 bits of its own."""
    count = math.prod(state.shape)
    codes = nibbles(read(fields["codes"]).reshape(-1), high_first=True)[:count]
    scales = scales_of(fields, state)
    return scaled(read(fields["map"])[codes].reshape(state.shape), scales, fields["codes"])


def levels_of(fields: dict[str, Stored], state: State) -> Levels:
    return listed(read(fields["map"]), scales_of(fields, state))


def scales_of(fields: dict[str, Stored], state: State) -> NDArray[np.float32]:
    """Of each weight the largest of its block."""
    largest = read(fields["absmax"])
    if state.nested_block:
        outer = read(fields["nested"]).repeat(state.nested_block)[: len(largest)]
        largest = read(fields["nested_map"])[largest] * outer + np.float32(state.nested_offset)
    scales: NDArray[np.float32] = largest.repeat(state.block)[: math.prod(state.shape)].reshape(state.shape)
    return scales


def of_8_bits(name: str, stored: Mapping[str, Stored], scales: Stored) -> Computed:
    codes = needed(stored, name, scales, "I8")
    order = stored.get(f"{name.removesuffix('.weight')}.weight_format")
    if order is not None and read(order).any():
        raise InvalidCheckpoint(
            f"{name} in {codes.path} is stored in the order of a GPU's tiles, which nothing here reads: save it with a "
            "newer bitsandbytes, which stores rows."
        )
    check_shape(scales, codes.shape[:1], why="a scale a row")
    return Computed(
        name=name, path=codes.path, shape=codes.shape, bits=8, group=codes.shape[-1],
        compute=partial(computed_rows, codes, scales), levels=partial(levels_of_rows, scales),
    )  # fmt: skip


def computed_rows(codes: Stored, scales: Stored) -> NDArray[np.float32]:
    return scaled(read(codes).astype(np.float32), read(scales)[:, None] / np.float32(INT8_STEPS), codes)


def levels_of_rows(scales: Stored) -> Levels:
    return counted(8, read(scales)[:, None] / np.float32(INT8_STEPS), np.float32(-128))
