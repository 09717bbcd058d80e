"""Checks of arguments against any JSON Schema. No schema or argument does harm."""

from time import perf_counter
from types import MappingProxyType

import pytest

from agent_runner.errors import ToolError, ToolRegistrationError
from agent_runner.tools import TOOLS
from agent_runner.tools.schemas import compile_schema


def schema(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties}


def refusal(wanted: dict[str, object], arguments: object) -> str:
    """Return the error for the agent."""
    with pytest.raises(ToolError) as refused:
        compile_schema("tool", wanted)(arguments)
    return str(refused.value)


def invalid(wanted: object) -> str:
    """Return the error of registering a tool with that schema."""
    with pytest.raises(ToolRegistrationError) as refused:
        compile_schema("tool", wanted)
    return str(refused.value)


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", TOOLS)
def test_the_schemas_of_our_own_tools_are_valid(name: str) -> None:
    compile_schema(name, TOOLS[name].spec.parameters)


@pytest.mark.parametrize(
    ("wanted", "arguments"),
    [
        (schema(loud={"type": "boolean"}), {"loud": True}),
        (schema(volume={"type": "number"}), {"volume": 0.5}),
        (schema(who={"type": ["string", "null"]}), {"who": None}),
        (schema(at={"$ref": "#/$defs/at"}) | {"$defs": {"at": {"type": "integer"}}}, {"at": 5}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", **schema(a={"const": 1})}, {"a": 1}),
        (schema(tree={"$ref": "#"}), {"tree": {"tree": {}}}),
        (schema(code={"type": "string", "pattern": "^(?=a)a"}), {"code": "ab"}),
        ({"type": "object"}, MappingProxyType({"any": (1, 2)})),
    ],
)
def test_an_ordinary_schema_accepts_arguments_that_fit(wanted: dict[str, object], arguments: object) -> None:
    compile_schema("tool", wanted)(arguments)


@pytest.mark.parametrize(
    ("wanted", "arguments", "sentence"),
    [
        (schema(loud={"type": "boolean"}), {"loud": "yes"}, "the argument 'loud' must be a boolean"),
        (schema(who={"type": ["string", "null"]}), {"who": 1}, "the argument 'who' must be null or a string"),
        (
            schema(to={"type": "array", "items": schema(id={"type": "integer"})}),
            {"to": [{}, {"id": "5"}]},
            "the argument 'to[1].id' must be an integer",
        ),
        (
            schema(to={"type": "object", "required": ["id"]}),
            {"to": {}},
            "the argument 'to.id' is missing",
        ),
        (
            schema(to={"type": "object", "additionalProperties": False}),
            {"to": {"x": 1}},
            "the argument 'to' has an unknown property",
        ),
        (schema(n={"enum": [1, "two", None]}), {"n": 3}, "the argument 'n' must be one of 1, two, None"),
        (schema(n={"exclusiveMaximum": 3}), {"n": 3}, "the argument 'n' must be less than 3"),
        (schema(n={"minLength": 2}), {"n": "a"}, "the argument 'n' must have at least 2 characters"),
        (schema(n={"multipleOf": 2}), {"n": 3}, "the argument 'n' does not fit: "),
        (
            schema(n={"anyOf": [{"type": "string"}, {"type": "null"}]}),
            {"n": 3},
            "the argument 'n' does not fit: ",
        ),
        (schema() | {"minProperties": 1}, {}, "the object of arguments does not fit: "),
        (schema(), ["x"], "the arguments are not an object"),
    ],
)
def test_an_argument_that_does_not_fit_is_named_in_one_sentence(
    wanted: dict[str, object], arguments: object, sentence: str
) -> None:
    said = refusal(wanted, arguments)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert len(said) < 400


def test_a_sentence_does_not_repeat_a_large_value() -> None:
    assert len(refusal(schema(a={"const": 1}), {"a": "x" * 1_000_000})) < 400
    assert len(refusal(schema() | {"additionalProperties": False}, {"x" * 1_000_000: 1})) < 400


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (5, 'must have "type": "object"'),
        ({}, 'must have "type": "object"'),
        ({"type": "array"}, 'must have "type": "object"'),
        (schema(a={"type": "text"}), "is invalid at properties.a.type"),
        (schema(a={"minLength": "long"}), "is invalid at properties.a.minLength"),
        (schema(a={"pattern": "("}), "is invalid at properties.a.pattern"),
        (schema(a={"$ref": "#/$defs/none"}), "is invalid"),
        (schema(a={"$ref": "http://127.0.0.1:9/x.json"}), "http://127.0.0.1:9/x.json is not fetched"),
        (schema(a={"$ref": "file:///etc/passwd"}), "file:///etc/passwd is not fetched"),
        ({"$schema": "http://127.0.0.1:9/x.json", "type": "object"}, "is invalid"),
        (schema(a={"default": object()}), "is invalid"),
        (schema(a={"enum": [nested(100)]}), "its schema has more than 64 nested levels"),
        (schema(a={"enum": list(range(100_001))}), "has more than 100,000 values"),
    ],
)
def test_a_schema_that_is_invalid_is_refused_with_the_tool_s_name(wanted: object, reason: str) -> None:
    said = invalid(wanted)
    assert said.startswith("tool 'tool': ")
    assert reason in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"a": nested(65)}, "the arguments have more than 64 nested levels"),
        ({"a": nested(100_000)}, "the arguments have more than 64 nested levels"),
        ({"a": [0] * 100_001}, "the arguments have more than 100,000 values"),
        ({"a": float("nan")}, "the arguments are not JSON: "),
        ({"a": object()}, "the arguments are not JSON: "),
        ({5: 1}, "the arguments are not JSON: "),
    ],
)
def test_arguments_that_would_do_harm_are_refused(arguments: object, sentence: str) -> None:
    assert refusal(schema(), arguments).startswith(sentence)


@pytest.mark.parametrize(
    "wanted",
    [
        schema(a={"$ref": "#/properties/a"}),
        {"type": "object", "$ref": "#"},
        {"type": "object", "anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {
            "type": "object",
            "$ref": "#/$defs/a",
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        },
    ],
)
def test_a_recursive_schema_terminates(wanted: dict[str, object]) -> None:
    compile_schema("tool", wanted)({"a": 1})


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"(?!z)(a|aa)+(?=c)c\1"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    check = compile_schema("tool", schema(a={"type": "string", "pattern": pattern}))
    began = perf_counter()
    with pytest.raises(ToolError, match="the argument 'a' "):
        check({"a": "a" * 5000 + "b"})
    assert perf_counter() - began < 5


def test_large_arguments_are_checked_at_once() -> None:
    check = compile_schema("tool", schema(a={"type": "array", "uniqueItems": True}))
    began = perf_counter()
    check({"a": [{"n": n} for n in range(40_000)]})
    assert perf_counter() - began < 5
