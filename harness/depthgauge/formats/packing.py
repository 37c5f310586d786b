"""What quantised formats have in common: numbers of few bits in words, small floats, and scales that blocks share."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.tensors import FLOATS, Stored, elements, whole

# What 4 bits are as a float with 2 bits of exponent and 1 of mantissa (OCP Microscaling Formats 1.0, table 5).
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def small_floats(exponent: int, mantissa: int, *, finite: bool) -> NDArray[np.float32]:
    """What each of 256 bytes is as a float of so many bits. Where `finite`, there is no infinity, and the largest
    code alone is NaN; else the largest exponent is infinity and NaN, as in IEEE 754.
    """
    bits = np.arange(256)
    e, m = bits >> mantissa & (1 << exponent) - 1, bits & (1 << mantissa) - 1
    bias = (1 << exponent - 1) - 1
    size = np.ldexp(np.where(e > 0, 1 + m / (1 << mantissa), m / (1 << mantissa)), np.maximum(e, 1) - bias)
    top = e == (1 << exponent) - 1
    if finite:
        size = np.where(top & (m == (1 << mantissa) - 1), np.nan, size)
    else:
        size = np.where(top, np.where(m > 0, np.nan, np.inf), size)
    return np.where(bits >> 7, -size, size).astype(np.float32)


def powers_of_two(exponents: NDArray[Any]) -> NDArray[np.float32]:
    """The scales of microscaling formats, a byte each: 2^(byte - 127), and NaN for 255."""
    return np.where(exponents == 255, np.nan, np.ldexp(1.0, exponents.astype(np.int32) - 127)).astype(np.float32)


BYTES_AS_FLOATS = {
    "F8_E4M3": small_floats(4, 3, finite=True),
    "F8_E5M2": small_floats(5, 2, finite=False),
    "F8_E8M0": powers_of_two(np.arange(256)),
}


def read(tensor: Stored) -> NDArray[Any]:
    """A stored tensor in its shape: floats as float32 (float64 as it is), integers as they are stored."""
    if tensor.dtype in FLOATS:
        return whole(tensor)
    raw = elements(tensor, 0, math.prod(tensor.shape)).reshape(tensor.shape)
    return BYTES_AS_FLOATS[tensor.dtype][raw] if tensor.dtype in BYTES_AS_FLOATS else np.asarray(raw)


def unpack(words: NDArray[Any], bits: int, count: int) -> NDArray[np.uint8]:
    """`count` numbers of so many bits (8 at most) along the last axis of words: a stream of bits, lowest first."""
    stream = np.ascontiguousarray(words).view(np.uint8)
    at = np.arange(count) * bits
    low, shift = at // 8, (at % 8).astype(np.uint8)
    codes: NDArray[np.uint8] = stream[..., low] >> shift
    if 8 % bits:  # some lie across two bytes
        following = stream[..., np.minimum(low + 1, stream.shape[-1] - 1)].astype(np.uint16)
        codes |= (following << 8 >> shift).astype(np.uint8)
    return codes & np.uint8((1 << bits) - 1)


def nibbles(packed: NDArray[np.uint8], *, high_first: bool = False) -> NDArray[np.uint8]:
    """Two numbers of 4 bits out of each byte, along the last axis."""
    halves = (packed >> 4, packed & 15) if high_first else (packed & 15, packed >> 4)
    return np.stack(halves, axis=-1).reshape(*packed.shape[:-1], -1)


class Grid(NamedTuple):
    """A weight of this `shape`, whose last two axes are cut into blocks of (rows, columns) with a scale each."""

    shape: tuple[int, ...]
    block: tuple[int, int]

    @property
    def scales(self) -> tuple[int, ...]:
        """The shape of the scales; a block at an edge may be smaller."""
        *before, rows, columns = self.shape
        return (*before, -(-rows // self.block[0]), -(-columns // self.block[1]))

    def spread(self, scales: NDArray[Any]) -> NDArray[Any]:
        """Each scale over its block: broadcasts to the weight."""
        *_, rows, columns = self.shape
        if self.block[0] > 1:
            scales = scales.repeat(self.block[0], axis=-2)[..., :rows, :]
        return scales if self.block[1] >= columns else scales.repeat(self.block[1], axis=-1)[..., :columns]


def scaled(codes: NDArray[Any], scales: NDArray[Any], main: Stored) -> NDArray[np.float32]:
    """Codes times scales that broadcast. Raises: InvalidCheckpoint where a scale is NaN, infinite or loses weights."""
    if not np.isfinite(scales).all():
        raise InvalidCheckpoint(
            f"{main.name} in {main.path} has a scale that is NaN or infinite: quantise it again.", code="not-finite"
        )
    if not scales.all() and bool(np.any((scales == 0) & (codes != 0))):
        raise InvalidCheckpoint(
            f"{main.name} in {main.path} has a scale of 0 over weights that are not 0: quantise it again."
        )
    values: NDArray[np.float32] = np.multiply(codes, scales, dtype=np.float32)
    return values


def beside(stored: dict[str, Stored], field: str, module: str, path: Path, *dtypes: str) -> Stored:
    """A tensor of a module by its name there. Raises: InvalidCheckpoint where it is not there, or of other dtypes."""
    if field not in stored:
        raise InvalidCheckpoint(
            f"{module}.{field} is missing in {path}, where the rest of {module} is quantised: copy the folder again."
        )
    neighbour = stored[field]
    if neighbour.dtype not in dtypes:
        raise InvalidCheckpoint(
            f"{neighbour.name} in {neighbour.path} is stored as {neighbour.dtype}, and its format has "
            f"{' or '.join(dtypes)}: config.json and the weights are not of one quantisation."
        )
    return neighbour


def check_shape(tensor: Stored, *shapes: tuple[int, ...], why: str) -> None:
    """Raises: InvalidCheckpoint for none of these shapes, which `why` asks for."""
    if tensor.shape not in shapes:
        raise InvalidCheckpoint(
            f"{tensor.name} in {tensor.path} has shape {tensor.shape}, and {why} make it {shapes[0]}: config.json and "
            "the weights are not of one quantisation."
        )


def check_divides(size: int, columns: int, main: Stored) -> None:
    """Raises: InvalidCheckpoint where columns are not made up of groups of this size, as their kernels need them."""
    if columns > size and columns % size:
        raise InvalidCheckpoint(
            f"{main.name} in {main.path} has {columns} inputs, which groups of {size} do not divide: config.json and "
            "the weights are not of one quantisation."
        )


def fields_by_module(stored: dict[str, Stored] | Any) -> dict[str, dict[str, Stored]]:
    """What is stored of each module, by the last part of its name."""
    fields: dict[str, dict[str, Stored]] = {}
    for name, tensor in stored.items():
        module, _, field = name.rpartition(".")
        fields.setdefault(module, {})[field] = tensor
    return fields
