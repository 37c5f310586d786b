"""The header of a safetensors file: names, dtypes, shapes and places of its tensors. None of them is read.

Whoever made the file is not trusted: size, depth and every number are checked before they are used.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from depthgauge.core.errors import InvalidCheckpoint

LARGEST = 100_000_000  # bytes, as in the library safetensors
METADATA = "__metadata__"
# Of one number of a tensor; there are dtypes besides, of which the size is not checked.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32,
    "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip


class Header(NamedTuple):
    """`entries` by name of tensor: dtype, shape, and `data_offsets`, first and last byte counted from `start`, which is
    where the header ends in the file.
    """

    entries: dict[str, dict[str, Any]]
    start: int


def read_header(path: Path) -> Header:
    """Raises: InvalidCheckpoint if the file has no header that can be trusted, or is not as long as its header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if not size:
                raise ValueError("it is empty")
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size - 8, LARGEST):
                raise ValueError(f"its header would have {length} of {size} bytes")
            header = json.loads(file.read(length), object_pairs_hook=once)
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        entries = {name: entry for name, entry in header.items() if name != METADATA}
        for name, entry in entries.items():
            check_entry(name, entry)
        expected = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidCheckpoint(
            f"{path} is not a readable safetensors file ({str(error)[:200]}): copy it again.", code="unreadable"
        ) from error
    if size != expected:
        raise InvalidCheckpoint(f"{path} is truncated ({size} of {expected} bytes): copy it again.")
    return Header(entries, 8 + length)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises: ValueError for a name that is there twice, which readers would take differently."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return fields


def check_entry(name: str, entry: Any) -> None:
    """Raises: ValueError unless a tensor lies where one of its dtype and shape can."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [first, last]}:
            pass
        case _:
            raise ValueError(f"{name[:80]!r} has no dtype, shape and data_offsets")
    if not all(type(number) is int and number >= 0 for number in (first, last, *shape)) or last < first:
        raise ValueError(f"{name[:80]!r} has the shape {shape} and the place {[first, last]}")
    if dtype in BITS and math.prod(shape) * BITS[dtype] != 8 * (last - first):
        raise ValueError(f"{name[:80]!r} of dtype {dtype} and shape {shape} has {last - first} bytes")
