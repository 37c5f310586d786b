"""Values as JSON carries them."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import Field, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")
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
        return {
            name: to_plain(getattr(value, name)) for name, kind in value.__dataclass_fields__.items() if written(kind)
        }
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


def written(field: Field[Any]) -> bool:
    """Whether a field of a dataclass is part of its plain form."""
    return bool(field.metadata.get("written", True))


def from_plain(kind: type[T], value: Any) -> T:
    """The inverse of `to_plain` for a dataclass whose fields are dataclasses, enums, tuples, mappings of texts, and
    plain values.

    Raises: TypeError or ValueError, naming the place of what has another type, is missing or is unknown.
    """
    built: T = read_as(kind, value, "")
    return built


def read_as(kind: Any, value: Any, where: str) -> Any:
    arguments = get_args(kind)
    if NoneType in arguments:
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else read_as(other, value, where)
    if is_dataclass(kind):
        hints = hints_of(kind)  # type: ignore[arg-type]
        fields = {
            name: read_as(known(hints, name, where), item, f"{where}.{name}".lstrip("."))
            for name, item in checked(value, Mapping, where).items()
        }
        return kind(**fields)  # type: ignore[operator]
    if get_origin(kind) is tuple:
        items = checked(value, list, where)
        kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
        if len(items) != len(kinds):
            raise ValueError(f"{where} has {len(items)} entries, and should have {len(kinds)}")
        each = enumerate(zip(kinds, items, strict=True))
        return tuple(read_as(inner, item, f"{where}[{place}]") for place, (inner, item) in each)
    if get_origin(kind) is Mapping:
        entries = checked(value, Mapping, where).items()
        return {name: read_as(arguments[1], item, f"{where}.{name}") for name, item in entries}
    if issubclass(kind, StrEnum):
        return kind(value)
    if kind is float:
        return float(value) if isinstance(value, str) else checked(value, int | float, where)
    return checked(value, kind, where)


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def known(hints: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in hints:
        raise ValueError(f"{where}.{name} is unknown".lstrip("."))
    return hints[name]


def checked(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{where or 'it'} is {value!r:.60}, and should be {getattr(kind, '__name__', kind)}")
    return value
