"""Checks the arguments of a call against the tool's schema: the few words of JSON schema that tools use."""

from collections.abc import Mapping, Sequence
from typing import cast

from agent_runner.errors import ToolError

TYPES: Mapping[str, type] = {"string": str, "integer": int, "array": list}


def check(schema: Mapping[str, object], arguments: object) -> None:
    """Raise ToolError, naming the argument, unless `arguments` is an object that fits."""
    properties = cast("Mapping[str, Mapping[str, object]]", schema["properties"])
    if not isinstance(arguments, Mapping):
        raise ToolError("the arguments are not an object")
    for name in arguments:
        if name not in properties:
            raise ToolError(f"unknown argument {name!r}; there are: {', '.join(properties)}")
    for name in cast("list[str]", schema["required"]):
        if name not in arguments:
            raise ToolError(f"the argument {name!r} is missing")
    for name, value in arguments.items():
        _check_value(name, properties[name], value)


def _check_value(name: str, wanted: Mapping[str, object], value: object) -> None:
    type_ = str(wanted["type"])
    if not isinstance(value, TYPES[type_]) or isinstance(value, bool):
        raise ToolError(f"the argument {name!r} must be {'an' if type_[0] in 'aeiou' else 'a'} {type_}")
    if isinstance(value, list):
        _check_items(name, wanted, value)
        return
    allowed = cast("Sequence[object]", wanted.get("enum", [value]))
    if value not in allowed:
        raise ToolError(f"the argument {name!r} must be one of {', '.join(map(str, allowed))}")
    least, most = (cast("float", wanted.get(key, value)) for key in ("minimum", "maximum"))
    if isinstance(value, int) and not least <= value <= most:
        raise ToolError(f"the argument {name!r} must be from {least} to {most}")
    if isinstance(value, str) and len(value) > cast("int", wanted.get("maxLength", len(value))):
        raise ToolError(f"the argument {name!r} is longer than {wanted['maxLength']} characters")
    if isinstance(value, str) and not value.strip() and wanted.get("minLength") != 0:
        raise ToolError(f"the argument {name!r} is empty")


def _check_items(name: str, wanted: Mapping[str, object], items: Sequence[object]) -> None:
    least, most = (cast("int", wanted[key]) for key in ("minItems", "maxItems"))
    if not least <= len(items) <= most:
        raise ToolError(f"the argument {name!r} must have {least} to {most} items")
    for n, item in enumerate(items):
        _check_value(f"{name}[{n}]", cast("Mapping[str, object]", wanted["items"]), item)
    if wanted.get("uniqueItems") and len(set(items)) < len(items):
        raise ToolError(f"the argument {name!r} has an item twice")
