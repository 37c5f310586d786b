"""The JSON Schema of report.json, made of the types that a run writes: `make schema` prints it into the file beside."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from depthgauge.core.plain import hints_of, written
from depthgauge.core.record import SCHEMA, ReportRecord

FILE = Path(__file__).with_name("report.schema.json")
NAMES = {str: "string", int: "integer", bool: "boolean"}
NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}  # JSON has no number that is not finite


def json_schema() -> dict[str, Any]:
    """A schema of draft 2020-12 for a whole report.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"report.json of depthgauge, schema {SCHEMA}",
        **schema_of(ReportRecord),
    }
    schema["properties"]["schema"] = {"const": SCHEMA}
    schema["required"].insert(0, "schema")
    return schema


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of what `to_plain` makes of a value of this type."""
    arguments = get_args(kind)
    if NoneType in arguments:
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return {"anyOf": [schema_of(other), {"type": "null"}]}
    if is_dataclass(kind):
        hints, kept = hints_of(kind), list(filter(written, fields(kind)))  # type: ignore[arg-type]
        needed = [field.name for field in kept if field.default is MISSING]
        properties = {field.name: schema_of(hints[field.name]) for field in kept}
        return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
    if get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": schema_of(arguments[0])}
        items = [schema_of(argument) for argument in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if issubclass(kind, StrEnum):
        return {"enum": [str(value) for value in kind]}
    return NUMBER if kind is float else {"type": NAMES[kind]}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
