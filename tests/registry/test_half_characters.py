"""Lone surrogates in every argument of every call: they are an error of the caller, and crash nothing."""

from collections.abc import AsyncIterator, Callable
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from typing import Any

import attrs
import pytest

from nanoclaw.operations import Admin
from nanoclaw.records import Address
from nanoclaw.store import NotAllowed, OperationRefused
from tests.registry.office import Office, an_office

HALF = "\ud800"
REFUSE = {"wirings.connect", "users.create", "users.get", "messaging_groups.by_address", "roles.grant"}
"""Calls that must refuse them. The other calls may find nothing instead."""


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with an_office(tmp_path / "data") as office:
        yield office
        assert office.restarts() == 0, "a refusal is an answer, no crash"


def calls() -> list[str]:
    return [
        f"{entity.name}.{verb}"
        for entity in attrs.fields(Admin)
        for verb, call in vars(entity.type).items()
        if iscoroutinefunction(call) and not verb.startswith("_")
    ]


def argument(parameter: Parameter) -> Any:
    kind = str(parameter.annotation)
    if "Address" in kind:
        return Address("fake", HALF)
    if "Mapping" in kind:
        return {HALF: HALF}
    return [HALF] if "Iterable" in kind or "Sequence" in kind else HALF


def given(call: Callable[..., object]) -> tuple[list[Any], dict[str, Any]]:
    needed = [
        one
        for one in signature(call).parameters.values()
        if one.default is Parameter.empty and one.kind is not Parameter.VAR_KEYWORD
    ]
    by_name = {one.name: argument(one) for one in needed if one.kind is Parameter.KEYWORD_ONLY}
    return [argument(one) for one in needed if one.kind is not Parameter.KEYWORD_ONLY], by_name


@pytest.mark.parametrize("name", calls())
async def test_a_lone_surrogate_crashes_nothing(office: Office, name: str) -> None:
    entity, verb = name.split(".")
    call = getattr(getattr(office.admin, entity), verb)
    positional, by_name = given(call)
    try:
        await call(*positional, **by_name)
    except OperationRefused:
        return
    assert name not in REFUSE


async def test_a_chat_address_with_a_lone_surrogate_is_refused_with_the_reason(office: Office) -> None:
    with pytest.raises(NotAllowed, match=r"^'\\ud800' is not valid text: surrogates not all"):
        await office.admin.wirings.connect(Address("fake", HALF), "main")
    with pytest.raises(NotAllowed, match=r"'\\ud800'"):
        await office.admin.wirings.connect(Address("fake", "chat"), HALF)
