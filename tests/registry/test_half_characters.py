"""Texts that no database takes, in every argument of every call: an error of the caller, no crash."""

from collections.abc import AsyncIterator, Callable
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from typing import Any

import attrs
import pytest

from nanoclaw.operations import Admin
from nanoclaw.records import Address
from nanoclaw.store import NotAllowed, Refused
from tests.registry.office import Office, an_office

HALF = "\ud800"
REFUSE = {"wirings.connect", "users.create", "users.get", "messaging_groups.by_address", "roles.grant"}
"""Of them it is asked that they say so; the others may find nothing instead."""


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
async def test_half_a_character_crashes_nobody(office: Office, name: str) -> None:
    entity, verb = name.split(".")
    call = getattr(getattr(office.admin, entity), verb)
    positional, by_name = given(call)
    try:
        await call(*positional, **by_name)
    except Refused:
        return
    assert name not in REFUSE


async def test_a_chat_whose_address_has_one_is_refused_in_words(office: Office) -> None:
    with pytest.raises(NotAllowed, match=r"^'\\ud800' is no text that a database takes: surrogates not all"):
        await office.admin.wirings.connect(Address("fake", HALF), "main")
    with pytest.raises(NotAllowed, match=r"'\\ud800'"):
        await office.admin.wirings.connect(Address("fake", "chat"), HALF)
