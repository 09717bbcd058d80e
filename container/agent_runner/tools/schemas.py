"""Checks the arguments of calls against the JSON Schemas of tools.

Schemas and arguments may come from anyone, such as a tool server or a model. So no `$ref` is fetched, depth
and size are bounded before the library sees them, and the backtracking of patterns is bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from agent_runner.errors import ToolError, ToolRegistrationError
from agent_runner.text import clean

if TYPE_CHECKING:  # it is loaded where the first schema is compiled
    from jsonschema_rs import ValidationError, Validator

DEEPEST = 64
"""Limit of nested arrays and objects, far below a stack overflow of the library's recursion."""
MOST_VALUES = 100_000
"""Limit of values in the arguments of one call, or in one schema."""
MOST_BACKTRACKS = 100_000
"""Limit of a text, if its pattern needs backtracking. Other patterns are matched in linear time."""
NOT_BLANK = r"\S"
"""Pattern of a text that is not blank."""

Check = Callable[[object], None]
"""Raises ToolError, naming the argument, unless the arguments fit."""


def compile_schema(tool: str, schema: object) -> Check:
    """Return the check for a tool's schema. Raises ToolRegistrationError, naming the tool."""
    from jsonschema_rs import ValidationError  # noqa: PLC0415 -- a runner that calls no tool does not load it

    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise ToolRegistrationError(f'tool {tool!r}: the schema of its parameters must have "type": "object"')
    validator = _validator(tool, schema)

    def check(arguments: object) -> None:
        if not isinstance(arguments, Mapping):
            raise ToolError("the arguments are not an object")
        if excess := _excess(arguments):
            raise ToolError(f"the arguments have {excess}")
        try:
            validator.validate(_plain(arguments))
        except ValidationError as error:
            raise ToolError(_sentence(error, schema)) from error
        except ValueError as error:
            raise ToolError(f"the arguments are not JSON: {_first_line(error)}") from error

    return check


def _validator(tool: str, schema: Mapping[str, object]) -> "Validator":
    import jsonschema_rs  # noqa: PLC0415 -- as above

    if excess := _excess(schema):
        raise ToolRegistrationError(f"tool {tool!r}: its schema has {excess}")
    try:
        return jsonschema_rs.validator_for(
            _plain(schema),
            mask="the value",
            retriever=_refuse_fetch,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=MOST_BACKTRACKS),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        where = f" at {path}" if (path := _name(getattr(error, "instance_path", ()))) else ""
        raise ToolRegistrationError(
            f"tool {tool!r}: its schema is invalid{where}: {_first_line(error)}"
        ) from error


def _refuse_fetch(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched; put it under $defs")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _excess(root: object) -> str | None:
    """Name what exceeds the bounds, or None. It does not recurse."""
    level, values = [root], 0
    for _ in range(DEEPEST + 1):
        values += len(level)
        if values > MOST_VALUES:
            return f"more than {MOST_VALUES:,} values"
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return None
    return f"more than {DEEPEST} nested levels"


def _inner(value: object) -> Sequence[object]:
    match value:
        case Mapping():
            return list(value.values())
        case list() | tuple():
            return value
        case _:
            return ()


def _plain(value: object) -> Any:
    """Return a copy of dicts and lists, which the library needs. Raises ValueError if it is not JSON."""
    match value:
        case Mapping():
            return {_key(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case str():
            return clean(value)
        case None | bool() | int():
            return value
        case float() if isfinite(value):
            return value
        case _:
            raise ValueError(f"{value!r:.80} is not a JSON value")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r:.80} is not text")  # noqa: TRY004 -- as above
    return clean(key)


# -- sentences -------------------------------------------------------------------

_SENTENCES: Mapping[str, str] = {
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "exclusiveMinimum": "must be more than {limit}",
    "exclusiveMaximum": "must be less than {limit}",
    "minItems": "must have at least {limit} item{s}",
    "maxItems": "must have at most {limit} item{s}",
    "minLength": "must have at least {limit} character{s}",
    "maxLength": "is longer than {limit} character{s}",
    "uniqueItems": "has an item twice",
    "additionalProperties": "has an unknown property",
}
"""Sentences by the keyword of the schema."""


def _sentence(error: "ValidationError", schema: Mapping[str, object]) -> str:
    """Say what is wrong in one sentence that names the argument."""
    path, kind = error.instance_path, error.kind.as_dict()
    match kind:
        case {"property": str(name)}:
            return f"the argument {_name([*path, name])!r} is missing"
        case {"unexpected": [str(name), *_]}:
            return f"unknown argument {_name([*path, name])!r}{_known(path, schema)}"
        case _:
            where = f"the argument {_name(path)!r}" if path else "the object of arguments"
            return f"{where} {_problem(error, kind)}"


def _problem(error: "ValidationError", kind: Mapping[str, object]) -> str:
    keyword = str(error.schema_path[-1]) if error.schema_path else error.kind.name
    match kind:
        case {"types": list(types)}:
            return f"must be {' or '.join(map(_with_article, types))}"
        case {"options": list(options)}:
            return f"must be one of {', '.join(map(str, options))}"[:500]
        case _ if keyword in _SENTENCES:
            limit = kind.get("limit")
            return _SENTENCES[keyword].format(limit=limit, s="" if limit == 1 else "s")
        case {"pattern": str(pattern)} if pattern == NOT_BLANK:
            return "is empty"
        case {"error": _} if keyword == "pattern":
            return "takes too long to compare with its pattern; make it shorter"
        case _:
            return f"does not fit: {' '.join(error.message[:300].split())}"


def _name(path: Sequence[str | int]) -> str:
    """Write a path as in `options[0].label`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[:200].lstrip(".")


def _with_article(type_: str) -> str:
    return "null" if type_ == "null" else f"{'an' if type_[0] in 'aeiou' else 'a'} {type_}"


def _known(path: Sequence[str | int], schema: Mapping[str, object]) -> str:
    """List the arguments there are, if the unknown one is at the top."""
    properties = schema.get("properties")
    if path or not isinstance(properties, Mapping):
        return ""
    return f"; there are: {', '.join(map(str, properties)) or 'none'}"
