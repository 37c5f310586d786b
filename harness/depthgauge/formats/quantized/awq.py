"""AWQ, as AutoAWQ and GPTQModel write it for GEMM: codes packed along the outputs, in the order in which a kernel wants
them. AWQ folds scales of its own into the norm before a matrix, or the matrix before: only their product is comparable
with the original's.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.levels import Levels, counted
from depthgauge.formats.packing import beside, check_divides, check_shape, fields_by_module, nibbles, read, scaled
from depthgauge.formats.targets import check_all_quantized, names_in
from depthgauge.formats.tensors import FLOATS, Computed, Stored, Tensor, quantization

PACKED = ("qweight", "qzeros", "scales", "g_idx")
BITS, A_WORD = 4, 8
# Nibble j of a word holds the output 0, 2, 4, 6, 1, 3, 5, 7 of eight: where each output is.
NIBBLE_OF_OUTPUT = (0, 4, 1, 5, 2, 6, 3, 7)


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    settings = quantization(config) or {}
    version = str(settings.get("version") or settings.get("checkpoint_format") or "gemm").lower()
    if version != "gemm":
        raise InvalidCheckpoint(
            f"config.json has AWQ weights of the version {version!r}, which nothing here reads: gemm is read."
        )
    return unpacked(stored, settings)


FORMATS.register(Format(name="awq", tensors=tensors))


def unpacked(stored: Mapping[str, Stored], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    bits_of(settings)
    size = settings.get("group_size", settings.get("q_group_size", -1))
    if not isinstance(size, int):
        raise InvalidCheckpoint(f"config.json has AWQ weights with a group_size of {size!r}, which is no number.")
    left_out = names_in(settings.get("modules_to_not_convert"))
    readable: dict[str, Tensor] = {}
    quantized = []
    for module, fields in fields_by_module(stored).items():
        readable |= {tensor.name: tensor for field, tensor in fields.items() if field not in PACKED}
        if "qweight" in fields:
            quantized.append(module)
            readable[f"{module}.weight"] = weight(module, fields, size)
    check_all_quantized(
        stored, quantized, lambda module: any(part in module for part in left_out), "modules_to_not_convert"
    )
    return readable


def bits_of(settings: Mapping[str, Any]) -> float:
    bits = settings.get("bits", settings.get("w_bit"))
    if bits != BITS:
        raise InvalidCheckpoint(f"config.json has AWQ weights of {bits!r} bits: they have {BITS}.")
    return BITS


def weight(module: str, fields: dict[str, Stored], group_size: int) -> Computed:
    main = beside(fields, "qweight", module, fields["qweight"].path, "I32")
    if len(main.shape) != 2:
        raise InvalidCheckpoint(f"{main.name} in {main.path} has shape {main.shape}, and not inputs and outputs.")
    inputs, outputs = main.shape[0], main.shape[1] * A_WORD
    size = group_size if group_size > 0 else inputs
    check_divides(size, inputs, main)
    groups, why = -(-inputs // size), f"{BITS} bits, {inputs} inputs and groups of {size}"
    check_shape(beside(fields, "scales", module, main.path, *FLOATS), (groups, outputs), why=why)
    check_shape(beside(fields, "qzeros", module, main.path, "I32"), (groups, outputs // A_WORD), why=why)
    return Computed(
        name=f"{module}.weight", path=main.path, shape=(outputs, inputs), bits=BITS, group=size,
        compute=partial(computed, fields, size), levels=partial(levels_of, fields, size),
    )  # fmt: skip


def computed(fields: dict[str, Stored], size: int) -> NDArray[np.float32]:
    """(q - zero) * scale, each input with the zero and the scale of its group: (outputs, inputs)."""
    main = fields["qweight"]
    inputs = main.shape[0]
    codes, zeros, scales = in_order(main), in_order(fields["qzeros"]), read(fields["scales"])
    spread = np.arange(inputs) // size
    weight = scaled(codes - zeros[spread], scales[spread], main)
    return np.ascontiguousarray(weight.T)


def levels_of(fields: dict[str, Stored], size: int) -> Levels:
    spread = np.arange(fields["qweight"].shape[0]) // size
    zeros, scales = in_order(fields["qzeros"]), read(fields["scales"])
    return counted(BITS, scales[spread].T, -zeros[spread].T)


def in_order(packed: Stored) -> NDArray[np.float32]:
    """What is packed, one number an output."""
    ordered = nibbles(np.ascontiguousarray(read(packed)).view(np.uint8)).reshape(packed.shape[0], -1, A_WORD)
    return ordered[..., NIBBLE_OF_OUTPUT].reshape(packed.shape[0], -1).astype(np.float32)
