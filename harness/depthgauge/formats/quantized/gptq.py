"""GPTQ, as AutoGPTQ and GPTQModel write it: codes packed along the inputs, a zero and a scale a group of inputs.

Two versions: what `checkpoint_format` calls gptq, or does not name, stores each zero less 1, and gptq_v2 as it is.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, counted
from depthgauge.formats.packing import beside, check_shape, fields_by_module, read, scaled, unpack
from depthgauge.formats.targets import check_all_quantized, matches
from depthgauge.formats.tensors import FLOATS, Computed, Stored, Tensor, quantization

PACKED = ("qweight", "qzeros", "scales", "g_idx")


class Scheme(NamedTuple):
    """How a module's weight is stored."""

    bits: int
    group_size: int  # -1: one group
    symmetric: bool
    offset: int  # of what is stored for a zero


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    settings = quantization(config) or {}
    return unpacked(stored, settings, offset_of(settings))


FORMATS.register(Format(name="gptq", tensors=tensors))


def unpacked(stored: Mapping[str, Stored], settings: Mapping[str, Any], offset: int) -> dict[str, Tensor]:
    readable: dict[str, Tensor] = {}
    quantized = []
    for module, fields in fields_by_module(stored).items():
        readable |= {tensor.name: tensor for field, tensor in fields.items() if field not in PACKED}
        if "qweight" in fields:
            quantized.append(module)
            readable[f"{module}.weight"] = weight(module, fields, scheme_of(module, settings, offset))
    check_all_quantized(stored, quantized, lambda module: own_settings(module, settings) is None, "dynamic")
    return readable


def bits_of(settings: Mapping[str, Any]) -> int:
    """Raises: InvalidCheckpoint where the configuration names no number of bits."""
    bits = settings.get("bits")
    if bits not in (2, 3, 4, 8):
        raise InvalidCheckpoint(f"config.json has GPTQ weights of {bits!r} bits: they are 2, 3, 4 or 8.")
    return int(bits)


def offset_of(settings: Mapping[str, Any]) -> int:
    version = settings.get("checkpoint_format") or "gptq"
    if version not in ("gptq", "gptq_v2"):
        raise InvalidCheckpoint(
            f"config.json has GPTQ weights in the checkpoint_format {version!r}, which nothing here reads: gptq and "
            "gptq_v2 are read."
        )
    return 1 if version == "gptq" else 0


def overrides(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What GPTQModel's `dynamic` says of modules, by a pattern of their names."""
    dynamic = settings.get("dynamic")
    return list(dynamic.items()) if isinstance(dynamic, dict) else []


def own_settings(module: str, settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The settings with those of the module in their place; None for one that is left plain."""
    for pattern, own in overrides(settings):
        if matches(pattern.removeprefix("-:").removeprefix("+:"), module):
            return None if pattern.startswith("-:") else {**settings, **(own if isinstance(own, dict) else {})}
    return settings


def scheme_of(module: str, settings: Mapping[str, Any], offset: int) -> Scheme:
    own = own_settings(module, settings) or settings
    size = own.get("group_size", -1)
    if not isinstance(size, int):
        raise InvalidCheckpoint(f"config.json has GPTQ weights with a group_size of {size!r}, which is no number.")
    return Scheme(bits_of(own), size, bool(own.get("sym", False)), offset)


def weight(module: str, fields: dict[str, Stored], scheme: Scheme) -> Computed:
    main = fields["qweight"]
    codes = beside(fields, "qweight", module, main.path, "I32")
    if len(codes.shape) != 2 or codes.shape[0] * 32 % scheme.bits:
        raise InvalidCheckpoint(f"{main.name} in {main.path} has shape {main.shape}: {scheme.bits} bits do not fit.")
    inputs, outputs = codes.shape[0] * 32 // scheme.bits, codes.shape[1]
    size = scheme.group_size if scheme.group_size > 0 else inputs
    groups, why = -(-inputs // size), f"{scheme.bits} bits, {inputs} inputs and groups of {size}"
    check_shape(beside(fields, "scales", module, main.path, *FLOATS), (groups, outputs), why=why)
    zeros = beside(fields, "qzeros", module, main.path, "I32")
    check_shape(zeros, (groups, outputs * scheme.bits // 32), why=why)
    if "g_idx" in fields:
        check_shape(beside(fields, "g_idx", module, main.path, "I32", "I64"), (inputs,), why=why)
    return Computed(
        name=f"{module}.weight", path=main.path, shape=(outputs, inputs), bits=scheme.bits, group=size,
        compute=partial(computed, fields, scheme, size), levels=partial(levels_of, fields, scheme, size),
    )  # fmt: skip


def computed(fields: dict[str, Stored], scheme: Scheme, size: int) -> NDArray[np.float32]:
    """(q - zero) * scale, each input with the zero and the scale of its group: (outputs, inputs)."""
    words = read(fields["qweight"])
    zeros, scales = zeros_and_scales(fields, scheme, size)
    codes = unpack(words.T, scheme.bits, zeros.shape[1]).astype(np.float32)
    codes -= zeros
    return scaled(codes, scales, fields["qweight"])


def levels_of(fields: dict[str, Stored], scheme: Scheme, size: int) -> Levels:
    zeros, scales = zeros_and_scales(fields, scheme, size)
    return counted(scheme.bits, scales, -zeros.astype(np.float32))


def zeros_and_scales(
    fields: dict[str, Stored], scheme: Scheme, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Of each weight, (outputs, inputs)."""
    main = fields["qweight"]
    scales = read(fields["scales"])
    inputs, outputs = main.shape[0] * 32 // scheme.bits, main.shape[1]
    zeros = unpack(read(fields["qzeros"]), scheme.bits, outputs) + np.uint8(scheme.offset)
    zeros &= np.uint8((1 << scheme.bits) - 1)
    check_symmetric(zeros, scheme, fields["qzeros"])
    groups = read(fields["g_idx"]) if "g_idx" in fields else np.arange(inputs) // size
    if groups.min() < 0 or groups.max() >= len(scales):
        raise InvalidCheckpoint(f"{main.name} in {main.path} has a g_idx that names a group without a scale.")
    largest = int(np.bincount(groups).max())
    if largest != min(size, inputs):
        raise InvalidCheckpoint(
            f"{main.name} in {main.path} has a g_idx with groups of {largest} inputs, and config.json says {size}: "
            "config.json and the weights are not of one quantisation."
        )
    return zeros.T[:, groups], scales.T[:, groups]


def check_symmetric(zeros: NDArray[np.uint8], scheme: Scheme, stored: Stored) -> None:
    """Raises: InvalidCheckpoint where symmetric codes have all their zeros beside the middle, as in the other version
    of the format.
    """
    middle = 1 << scheme.bits - 1
    if scheme.symmetric and zeros.size and (zeros == zeros.flat[0]).all() and abs(int(zeros.flat[0]) - middle) == 1:
        right, wrong = ("gptq_v2", "gptq") if scheme.offset else ("gptq", "gptq_v2")
        raise InvalidCheckpoint(
            f"{stored.name} in {stored.path} has zeros of {zeros.flat[0]}, and symmetric weights of {scheme.bits} bits "
            f"have {middle}: they are stored as {right} has it, and config.json says {wrong}."
        )
