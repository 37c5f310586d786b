"""Values as JSON carries them."""

import hashlib
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def canonical_json(value: Any) -> bytes:
    """The bytes of a value's JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(value: Any) -> str:
    """A 16-digit hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


def to_plain(value: Any) -> Any:
    """`value` as exact builtins that JSON and a worker's wire can carry; non-finite numbers become their names."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, StrEnum | Path):
        return str(value)
    return value
