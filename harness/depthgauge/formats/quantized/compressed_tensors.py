"""compressed-tensors, as llm-compressor writes it: integers and floats of few bits, with scales by tensor, channel,
group or block. Read from the source of compressed-tensors 0.20.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, counted, listed
from depthgauge.formats.packing import (
    BYTES_AS_FLOATS,
    E2M1,
    Grid,
    beside,
    check_divides,
    check_shape,
    fields_by_module,
    nibbles,
    powers_of_two,
    read,
    scaled,
    unpack,
)
from depthgauge.formats.targets import block_in, check_all_quantized, matches, names_in
from depthgauge.formats.tensors import FLOATS, Computed, Stored, Tensor, configuration_of, quantization

# What belongs to a quantised module beside its weight and bias: for the weight, and for what goes in and out.
BESIDE = (
    "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_global_scale", "weight_g_idx",
    "input_scale", "input_zero_point", "input_global_scale", "output_scale", "output_zero_point", "k_scale", "v_scale",
    "q_scale",
)  # fmt: skip
PACKED = "pack-quantized"
BYTES = {"int-quantized": ("I8",), "float-quantized": ("F8_E4M3",), "naive-quantized": ("I8", "F8_E4M3")}
FLOATS_OF_4_BITS = ("nvfp4-pack-quantized", "mxfp4-pack-quantized")
MXFP8 = "mxfp8-quantized"
KNOWN = (PACKED, *BYTES, *FLOATS_OF_4_BITS, MXFP8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How the weights of a group of modules are stored."""

    format: str
    bits: int
    is_float: bool
    strategy: str
    group_size: int | None
    block: tuple[int, int] | None
    symmetric: bool

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Where each scale applies."""
        match self.strategy:
            case "group" | "tensor_group":
                return Grid(shape, (1, self.group_size or shape[1]))
            case "block" if self.block:
                return Grid(shape, self.block)
            case "channel":
                return Grid(shape, (1, shape[1]))
            case _:
                return Grid(shape, shape)


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    settings = quantization(config) or {}
    schemes, ignored = schemes_of(settings), names_in(settings.get("ignore"))
    readable: dict[str, Tensor] = {}
    quantized = []
    for module, fields in fields_by_module(stored).items():
        main = fields.get("weight_packed", fields.get("weight"))
        if main is None or not ({"weight_packed", "weight_scale"} & fields.keys()):
            readable |= {tensor.name: tensor for tensor in fields.values()}
            continue
        quantized.append(module)
        if any(is_named(target, module) for target in ignored):
            raise InvalidCheckpoint(
                f"{main.name} in {main.path} is quantised, and ignore in config.json leaves it out: what loads the "
                f"folder looks for a plain weight, and draws it at random; take {module} out of ignore."
            )
        readable |= {tensor.name: tensor for field, tensor in fields.items() if field not in (*BESIDE, "weight")}
        readable[f"{module}.weight"] = weight(module, fields, main, scheme_of(module, schemes, main))
    check_all_quantized(
        stored, quantized, lambda module: any(is_named(target, module) for target in ignored), "ignore",
        head=untied(config) and any("Linear" in targets for targets, _ in schemes),
    )  # fmt: skip
    return readable


FORMATS.register(Format(name="compressed-tensors", tensors=tensors))


def untied(config: Mapping[str, Any]) -> bool:
    return not configuration_of(config).get("tie_word_embeddings", True)


def schemes_of(settings: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Scheme]]:
    """What is quantised, and how. Raises: InvalidCheckpoint for what nothing here reads."""
    groups, schemes = settings.get("config_groups"), []
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if not isinstance(weights, dict):
            continue
        named = group.get("format") or settings.get("format")
        if named not in KNOWN:
            raise InvalidCheckpoint(
                f"config.json has weights of compressed-tensors in the format {named!r}, which nothing here reads: the "
                f"formats that are read are {', '.join(KNOWN)}."
            )
        bits = weights.get("num_bits")
        if type(bits) is not int or not 1 <= bits <= 8:
            raise InvalidCheckpoint(f"config.json has weights of {bits!r} bits: they are 1 to 8.")
        size = weights.get("group_size")
        scheme = Scheme(
            format=named,
            bits=bits,
            is_float=weights.get("type") == "float",
            strategy=str(weights.get("strategy") or ("group" if size else "tensor")),
            group_size=size if isinstance(size, int) and size > 0 else None,
            block=block_in(weights.get("block_structure")),
            symmetric=bool(weights.get("symmetric", True)),
        )
        schemes.append((names_in(group.get("targets")), scheme))
    if not schemes:
        raise InvalidCheckpoint("config.json names no config_groups with weights: save it with its configuration.")
    return schemes


def scheme_of(module: str, schemes: list[tuple[tuple[str, ...], Scheme]], main: Stored) -> Scheme:
    """That of the group that names the module, or else of one that names its class, which the files do not say."""
    for named in (lambda target: is_named(target, module), is_class):
        for targets, scheme in schemes:
            if any(map(named, targets)):
                return scheme
    raise InvalidCheckpoint(
        f"{main.name} in {main.path} is quantised, and no group of config.json has it among its targets: save it with "
        "its configuration."
    )


def is_named(target: str, module: str) -> bool:
    return matches(target[3:], module) if target.startswith("re:") else target == module


def is_class(target: str) -> bool:
    return not target.startswith("re:") and "." not in target


def weight(module: str, fields: dict[str, Stored], main: Stored, scheme: Scheme) -> Computed:
    """The plain weight of a module."""
    shape = plain_shape(module, fields, main, scheme)
    grid = scheme.grid(shape)
    if grid.block[0] == 1:
        check_divides(grid.block[1], shape[1], main)
    scale_dtypes = (*FLOATS, "F8_E4M3", "U8", "F8_E8M0")
    scale = beside(fields, "weight_scale", module, main.path, *scale_dtypes)
    why = f"the weight's {shape} and its {scheme.strategy}s of {grid.block[1]} columns"
    rows, columns = grid.scales
    check_shape(scale, (rows, columns), *([(rows,)] if columns == 1 else []), *([()] if rows == 1 else []), why=why)
    if scheme.symmetric is False and "weight_zero_point" not in fields:
        beside(fields, "weight_zero_point", module, main.path)
    return Computed(
        name=f"{module}.weight", path=main.path, shape=shape, bits=scheme.bits, group=min(grid.block[1], shape[1]),
        compute=partial(computed, fields, main, scheme, grid), levels=partial(levels_of, fields, main, scheme, grid),
    )  # fmt: skip


def plain_shape(module: str, fields: dict[str, Stored], main: Stored, scheme: Scheme) -> tuple[int, int]:
    """Raises: InvalidCheckpoint where what is stored is not of the scheme."""
    dtypes = ("I32",) if scheme.format == PACKED else ("U8",) if scheme.format in FLOATS_OF_4_BITS else (
        ("F8_E4M3",) if scheme.format == MXFP8 or scheme.is_float else ("I8",)
    )  # fmt: skip
    packed = scheme.format in (PACKED, *FLOATS_OF_4_BITS)
    beside(fields, "weight_packed" if packed else "weight", module, main.path, *dtypes)
    if len(main.shape) != 2:
        raise InvalidCheckpoint(f"{main.name} in {main.path} has shape {main.shape}, and not rows and columns.")
    if scheme.format != PACKED:
        return (main.shape[0], main.shape[1] * 2 if packed else main.shape[1])
    stored_shape = beside(fields, "weight_shape", module, main.path, "I64", "I32")
    check_shape(stored_shape, (2,), why="rows and columns")
    rows, columns = map(int, read(stored_shape))
    widths = (dense_width(columns, scheme.bits), padded_width(columns, scheme.bits))
    check_shape(main, *((rows, width) for width in widths), why=f"{scheme.bits} bits and {columns} columns")
    return rows, columns


def dense_width(count: int, bits: int) -> int:
    """Words of 32 bits for so many numbers."""
    return -(-count * bits // 32)


def padded_width(count: int, bits: int) -> int:
    """The same as older versions stored them, no number across two words."""
    return -(-count // (32 // bits))


def computed(fields: dict[str, Stored], main: Stored, scheme: Scheme, grid: Grid) -> NDArray[np.float32]:
    scales, zeros = scales_and_zeros(fields, main, scheme, grid)
    codes = codes_of(main, scheme, grid.shape)
    return scaled(codes if zeros is None else codes - zeros, scales, main)


def levels_of(fields: dict[str, Stored], main: Stored, scheme: Scheme, grid: Grid) -> Levels:
    scales, zeros = scales_and_zeros(fields, main, scheme, grid)
    if scheme.is_float:
        return listed(E2M1 if scheme.format in FLOATS_OF_4_BITS else BYTES_AS_FLOATS["F8_E4M3"], scales)
    lowest = np.float32(-(1 << scheme.bits - 1))
    return counted(scheme.bits, scales, lowest if zeros is None else lowest - zeros)


def scales_and_zeros(
    fields: dict[str, Stored], main: Stored, scheme: Scheme, grid: Grid
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """What each code is multiplied by, and what is taken off it before: both broadcast to the weight."""
    scales = read(fields["weight_scale"]).reshape(grid.scales)
    if scheme.format.startswith("mx"):
        scales = scales if fields["weight_scale"].dtype == "F8_E8M0" else powers_of_two(scales)
    elif scheme.format == "nvfp4-pack-quantized":
        overall = beside(fields, "weight_global_scale", main.name.rpartition(".")[0], main.path, *FLOATS)
        with np.errstate(divide="ignore"):
            scales = scales / read(overall).reshape(-1)[0]
    zeros = zeros_of(fields, scheme, grid)
    groups = fields.get("weight_g_idx")
    if groups is not None and (index := read(groups)).min() >= 0:
        check_shape(groups, grid.shape[1:], why="the columns of the weight")
        if index.max() >= grid.scales[1]:
            raise InvalidCheckpoint(f"{groups.name} in {groups.path} names a group that has no scale.")
        return scales[:, index], None if zeros is None else zeros[:, index]
    return grid.spread(scales), None if zeros is None else grid.spread(zeros)


def codes_of(main: Stored, scheme: Scheme, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The numbers that are scaled. Raises: InvalidCheckpoint where one has more bits than the configuration says."""
    raw = read(main)
    if scheme.format == PACKED:
        return signed(raw, scheme.bits, shape[1])
    if scheme.format in FLOATS_OF_4_BITS:
        return E2M1[nibbles(raw)]
    limit = 1 << scheme.bits - 1
    if raw.dtype == np.int8 and scheme.bits < 8 and (raw.min() < -limit or raw.max() >= limit):
        raise InvalidCheckpoint(
            f"{main.name} in {main.path} holds {raw.min()} to {raw.max()}, and config.json says {scheme.bits} bits: "
            "config.json and the weights are not of one quantisation."
        )
    return raw.astype(np.float32, copy=False)


def signed(words: NDArray[np.int32], bits: int, count: int) -> NDArray[np.float32]:
    """Numbers packed along the last axis, from -2^(bits-1): a stream of bits, or as older versions packed them."""
    if words.shape[-1] == dense_width(count, bits):
        unsigned = unpack(words, bits, count)
    else:
        unsigned = unpack(words[..., None], bits, 32 // bits).reshape(*words.shape[:-1], -1)[..., :count]
    return unsigned.astype(np.float32) - np.float32(1 << bits - 1)


def zeros_of(fields: dict[str, Stored], scheme: Scheme, grid: Grid) -> NDArray[np.float32] | None:
    """What stands for 0 in each block: packed along the rows where the weight is packed."""
    tensor = fields.get("weight_zero_point")
    if tensor is None or scheme.is_float:
        return None
    rows, columns = grid.scales
    if scheme.format == PACKED and tensor.dtype == "I32":
        widths = (dense_width(rows, scheme.bits), padded_width(rows, scheme.bits))
        check_shape(tensor, *((width, columns) for width in widths), why=f"{scheme.bits} bits and {rows} rows")
        return signed(np.ascontiguousarray(read(tensor).T), scheme.bits, rows).T
    check_shape(tensor, (rows, columns), *([(rows,)] if columns == 1 else []), why="the scales")
    return read(tensor).astype(np.float32).reshape(rows, columns)
