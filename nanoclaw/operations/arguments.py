"""Converts JSON arguments to the types that a method takes; errors name the parameter."""

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, get_origin

import cattrs

from nanoclaw.config.nearest import nearest
from nanoclaw.operations.declaration import Operation, Parameter
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.references import quoted

LONGEST_JSON = 64 * 1024
"""Characters of a parameter that is a JSON object."""
NOT_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that no text may have: control characters, lone surrogates, line ends."""
TURNS_TEXT = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Invisible characters that change the direction of the text around them."""

_JSON = cattrs.Converter()


def _exactly(value: object, wanted: type) -> object:
    if type(value) is not wanted:
        raise TypeError(f"must be {wanted.__name__}")
    return value


def _is_mapping(type_: object) -> bool:
    return get_origin(type_) is Mapping


for _kind in (str, int, bool):
    _JSON.register_structure_hook(_kind, _exactly)
_JSON.register_structure_hook_func(_is_mapping, lambda value, _: _exactly(value, dict))


def structured(operation: Operation, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the checked arguments of an operation by their Python names, with defaults.

    Raises:
        BadArguments: one is missing, unknown or not of its type.
    """
    labels = [each.label for each in operation.parameters]
    for label in given:
        if label not in labels:
            takes = f"it takes {', '.join(labels)}" if labels else "it takes none"
            near = nearest(str(label), labels)
            raise BadArguments(
                f"{operation.name} has no parameter {quoted(str(label))}{near or '; ' + takes}"
            )
    return {each.name: _value(each, given) for each in operation.parameters}


def _value(parameter: Parameter, given: Mapping[str, object]) -> Any:
    value = given.get(parameter.label)
    if value is None:
        if parameter.required:
            raise BadArguments(f"{parameter.label}: is missing")
        return parameter.default
    if parameter.choices and value not in parameter.choices:
        near = nearest(str(value), parameter.choices)
        choices = ", ".join(parameter.choices)
        raise BadArguments(f"{parameter.label}: must be one of {choices}, got {_shown(value)}{near}")
    try:
        found = _JSON.structure(value, parameter.base)
    except (cattrs.BaseValidationError, TypeError, ValueError) as error:
        raise BadArguments(f"{parameter.label}: must be {_wanted(parameter)}, got {_shown(value)}") from error
    return _bounded(parameter, found)


def _bounded(parameter: Parameter, value: Any) -> Any:
    match value:
        case str():
            _check_text(parameter, value)
        case bool():
            pass
        case int() if not parameter.bounds.least <= value <= parameter.bounds.most:
            least, most = parameter.bounds.least, parameter.bounds.most
            raise BadArguments(
                f"{parameter.label}: must be between {least:,} and {most:,}, got {_shown(value)}"
            )
        case dict():
            _check_json(parameter, value)
    return value


def _check_text(parameter: Parameter, value: str) -> None:
    label, bounds = parameter.label, parameter.text
    if not value and not bounds.empty:
        raise BadArguments(f"{label}: must not be empty")
    if value and not value.strip():
        raise BadArguments(f"{label}: must not be blank, got {quoted(value)}")
    if len(value) > bounds.longest:
        raise BadArguments(f"{label}: must have at most {bounds.longest:,} characters, got {len(value):,}")
    bad = next((char for char in value if _is_bad(char)), None)
    if bad is not None:
        raise BadArguments(f"{label}: must not contain the character U+{ord(bad):04X}, got {quoted(value)}")


def _is_bad(char: str) -> bool:
    return unicodedata.category(char) in NOT_TEXT or char in TURNS_TEXT


def _check_json(parameter: Parameter, value: Mapping[str, object]) -> None:
    label = parameter.label
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise BadArguments(f"{label}: cannot be stored as JSON: {str(error)[:100]}") from error
    if len(text) > LONGEST_JSON:
        raise BadArguments(f"{label}: must have at most {LONGEST_JSON:,} characters, got {len(text):,}")


def _wanted(parameter: Parameter) -> str:
    if parameter.is_json:
        return "a JSON object"
    return {str: "a text", int: "a whole number", bool: "true or false"}.get(parameter.base, "of its type")


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 -- of a sentence
