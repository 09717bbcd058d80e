"""Every operation with missing, wrong and hostile arguments: one clear line, and nothing changed.

The cases are made of the list, so an operation that is added is tried as well.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from nanoclaw.operations import Catalogue, Operation, OperationFailed, Parameter
from tests.cli.commands import rows
from tests.operations.desk import Desk, a_desk

OPERATIONS = Catalogue.installed().operations.values()

HOSTILE_TEXTS: dict[str, str] = {
    "control": "a\x1b[2Jb",
    "nul": "a\x00b",
    "newline": "a\nb",
    "half": "a\ud800b",
    "line-separator": "a\u2028b",
    "huge": "x" * 1_000_000,
    "path": "../../etc/passwd",
    "dash": "--yes",
    "sql": "'; DROP TABLE users; --",
    "braces": "{0.__class__}%s{agent}",
}
NEVER_TEXTS = {"control", "nul", "newline", "half", "line-separator", "huge"}
"""Refused whatever they stand for; the others may be somebody's name."""
WRONG_TYPES: dict[str, Any] = {"number": 7, "list": ["a"], "object": {"a": 1}, "flag": True, "real": 1.5}


@frozen
class Case:
    operation: Operation
    params: dict[str, Any]
    label: str
    """The parameter that is wrong."""
    certain: bool = True
    """Whether it is refused for certain."""
    name: str = ""


def good(parameter: Parameter) -> Any:
    """Return a value of the parameter's type that names nothing."""
    if parameter.choices:
        return parameter.choices[0]
    if parameter.is_json:
        return {}
    if parameter.base is int:
        return 1
    return parameter.base is bool or "unheard-of"


def required(operation: Operation) -> dict[str, Any]:
    return {each.label: good(each) for each in operation.parameters if each.required}


def cases() -> Iterator[Case]:
    for operation in OPERATIONS:
        params = required(operation)
        yield Case(operation, {**params, "colour": "red"}, "colour", name="unknown")
        for each in operation.parameters:
            if each.required:
                left = {label: value for label, value in params.items() if label != each.label}
                yield Case(operation, left, each.label, name="missing")
            for name, value in wrong_values(each):
                yield Case(operation, {**params, each.label: value}, each.label, name=name)
            if each.base is str:
                for name, text in HOSTILE_TEXTS.items():
                    hostile = {**params, each.label: text}
                    yield Case(operation, hostile, each.label, name in NEVER_TEXTS, name)


def wrong_values(parameter: Parameter) -> Iterator[tuple[str, Any]]:
    if parameter.choices:
        yield "choice", f"{parameter.choices[0]}x"
    for name, value in WRONG_TYPES.items():
        fits = {str: (), int: ("number",), bool: ("flag",)}.get(parameter.base, ())
        if name not in fits and not (parameter.is_json and name == "object"):
            yield name, value
    if parameter.base is int:
        yield "enormous", 10**30
        yield "endless", -(10**30)
    if parameter.is_json:
        yield "endless", {"a": float("nan")}
        yield "huge", {"a": "x" * 1_000_000}
        yield "half", {"a": "\ud800"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        yield desk


def state(desk: Desk) -> list[Any]:
    tables = ["agent_groups", "messaging_groups", "messaging_group_agents", "users", "user_roles"]
    tables += ["agent_group_members", "agent_destinations", "sessions"]
    return [rows(desk.home / "data/v2.db", f"SELECT * FROM {table}") for table in tables]  # noqa: S608 -- a test's own


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_a_bad_argument_gives_a_one_line_error_that_names_it(desk: Desk, operation: Operation) -> None:
    before = state(desk)
    for case in (each for each in cases() if each.operation == operation):
        error = await refusal(desk, case)
        if error is None:
            assert not case.certain, case
            continue
        line = str(error)
        line.encode()
        assert "\n" not in line
        assert len(line) < 500
        if case.certain:
            assert case.label in line, (case.name, line)
            assert line.isprintable(), (case.name, line)
            assert error.code == "bad_request", (case.name, line)
    if operation.declared.reads:
        assert state(desk) == before


async def refusal(desk: Desk, case: Case) -> OperationFailed | None:
    try:
        await desk.perform_with(case.operation.name, case.params)
    except OperationFailed as error:
        return error
    return None


async def test_an_error_for_a_wrong_choice_suggests_the_nearest(desk: Desk) -> None:
    with pytest.raises(OperationFailed, match="did you mean per-thread"):
        await desk.perform("wirings.create", chat="cli:terminal", agent="main", session_mode="per-thred")


async def test_an_error_for_an_unknown_parameter_suggests_the_nearest(desk: Desk) -> None:
    with pytest.raises(OperationFailed, match="did you mean agent"):
        await desk.perform("members.add", user="tg:1", agnet="main")


async def test_an_error_for_an_unknown_operation_suggests_the_nearest(desk: Desk) -> None:
    with pytest.raises(OperationFailed, match=r"did you mean members.add"):
        await desk.perform("member.add")


async def test_an_error_for_an_unknown_name_suggests_the_nearest(desk: Desk) -> None:
    with pytest.raises(OperationFailed, match="did you mean main"):
        await desk.perform("agents.show", agent="mian")


async def test_a_hostile_folder_leaves_nothing_behind(desk: Desk) -> None:
    for folder in ("../escape", "a/b", ".hidden", "-x", "global", "con trol"):
        with pytest.raises(OperationFailed):
            await desk.perform("agents.create", folder=folder)
    assert sorted(path.name for path in desk.home.rglob("*") if path.is_dir() and "esc" in path.name) == []
    assert not (desk.home / "groups").exists()


async def test_a_pattern_that_is_not_a_regular_expression_is_refused(desk: Desk) -> None:
    with pytest.raises(OperationFailed, match="not a regular expression"):
        await desk.perform("wirings.set", wiring="cli:terminal", trigger={"pattern": "("})
