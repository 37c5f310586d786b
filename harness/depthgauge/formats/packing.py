"""What quantised formats have in common: numbers of few bits in words, small floats, scales that blocks share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.tensors import FLOATS, RAW, Computed, Stored, elements, whole

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


BYTES_AS_FLOATS = {
    "F8_E4M3": small_floats(4, 3, finite=True),
    "F8_E5M2": small_floats(5, 2, finite=False),
    "F8_E8M0": np.append(np.ldexp(1.0, np.arange(255) - 127), np.nan).astype(np.float32),
}


def read(tensor: Stored) -> NDArray[Any]:
    """A stored tensor in its shape: floats as float32 (float64 as it is), integers as they are stored."""
    if tensor.dtype in FLOATS:
        return whole(tensor)
    raw = elements(tensor, 0, int(np.prod(tensor.shape, dtype=np.int64))).reshape(tensor.shape)
    return BYTES_AS_FLOATS[tensor.dtype][raw] if tensor.dtype in BYTES_AS_FLOATS else np.asarray(raw)


def unpack(words: NDArray[Any], bits: int, count: int) -> NDArray[np.uint8]:
    """`count` numbers of so many bits (8 at most) along the last axis of words: a stream of bits, lowest first."""
    stream = np.ascontiguousarray(words).view(np.uint8)
    at = np.arange(count) * bits
    low, shift = at // 8, (at % 8).astype(np.uint8)
    found = stream[..., low] >> shift
    if 8 % bits:  # some lie across two bytes
        following = np.minimum(low + 1, stream.shape[-1] - 1)
        found |= stream[..., following].astype(np.uint16) << 8 >> shift & 0xFF
    return found & np.uint8((1 << bits) - 1)


def nibbles(packed: NDArray[np.uint8], *, high_first: bool = False) -> NDArray[np.uint8]:
    """Two numbers of 4 bits from each byte of the last axis."""
    halves = (packed >> 4, packed & 15) if high_first else (packed & 15, packed >> 4)
    return np.stack(halves, axis=-1).reshape(*packed.shape[:-1], -1)


def spread(scales: NDArray[Any], shape: tuple[int, int], block: tuple[int, int]) -> NDArray[Any]:
    """Each scale of a grid (rows, columns) repeated over its block, cut to the shape of the weight."""
    return scales.repeat(block[0], axis=0)[: shape[0]].repeat(block[1], axis=1)[:, : shape[1]]


def scaled(codes: NDArray[Any], scales: NDArray[Any], name: str, path: Any) -> NDArray[np.float32]:
    """Codes times scales that broadcast. Raises: InvalidCheckpoint where a scale is NaN, infinite or loses weights."""
    if not np.isfinite(scales).all():
        raise InvalidCheckpoint(f"{name} in {path} has a scale that is NaN or infinite: quantise it again.")
    with np.errstate(over="ignore", invalid="ignore"):
        found: NDArray[np.float32] = (codes * scales).astype(np.float32, copy=False)
    if not scales.all() and bool(np.any((scales == 0) & (codes != 0))):
        raise InvalidCheckpoint(f"{name} in {path} has a scale of 0 over weights that are not 0: quantise it again.")
    return found


def field_of(stored: Mapping[str, Stored], name: str, dtypes: tuple[str, ...] = tuple(RAW)) -> Stored:
    """A tensor that a format needs. Raises: InvalidCheckpoint if it is not there, or stored as something else."""
    if name not in stored:
        module = name.rpartition(".")[0]
        path = next((tensor.path for other, tensor in stored.items() if other.startswith(f"{module}.")), None)
        raise InvalidCheckpoint(f"{name} is missing beside what else is stored of {module} in {path}: copy it again.")
    found = stored[name]
    if found.dtype not in dtypes:
        raise InvalidCheckpoint(
            f"{name} in {found.path} is stored as {found.dtype}, not as {' or '.join(dtypes)}, as its format has it: "
            "quantise it again."
        )
    return found


def check_shape(tensor: Stored, shape: tuple[int, ...], why: str) -> None:
    """Raises: InvalidCheckpoint, saying what asks for the shape, for another one."""
    if tensor.shape != shape:
        raise InvalidCheckpoint(
            f"{tensor.name} in {tensor.path} has shape {tensor.shape}, where {why} make {shape}: config.json and the "
            "weights are not of one quantisation."
        )


def computed(
    name: str, main: Stored, shape: tuple[int, ...], bits: float, group: int, compute: Callable[[], NDArray[np.float32]]
) -> Computed:
    return Computed(name=name, path=main.path, shape=shape, compute=compute, bits=bits, group=group)
