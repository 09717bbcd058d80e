"""Checks the arguments of a call against the tool's schema: the few words of JSON schema that tools use."""

from collections.abc import Mapping
from typing import cast

from agent_runner.errors import ToolError

TYPES: Mapping[str, type] = {"string": str, "integer": int}


def check(schema: Mapping[str, object], arguments: object) -> None:
    """Raise ToolError, naming the argument, unless `arguments` is an object that fits."""
    properties = cast("Mapping[str, Mapping[str, str]]", schema["properties"])
    if not isinstance(arguments, Mapping):
        raise ToolError("the arguments are not an object")
    for name in arguments:
        if name not in properties:
            raise ToolError(f"unknown argument {name!r}; there are: {', '.join(properties)}")
    for name in cast("list[str]", schema["required"]):
        if name not in arguments:
            raise ToolError(f"the argument {name!r} is missing")
    for name, value in arguments.items():
        _check_type(name, properties[name]["type"], value)


def _check_type(name: str, wanted: str, value: object) -> None:
    if not isinstance(value, TYPES[wanted]) or isinstance(value, bool):
        raise ToolError(f"the argument {name!r} must be {'an' if wanted[0] in 'aeiou' else 'a'} {wanted}")
    if isinstance(value, str) and not value.strip():
        raise ToolError(f"the argument {name!r} is empty")
