"""The right that each operation needs, checked for each kind of caller."""

from pathlib import Path
from typing import Any

import pytest

from nanoclaw.operations import Admin, Caller, Catalogue, Forbidden, OperationFailed, Right
from nanoclaw.records import Address
from tests.operations.desk import Desk, a_desk

CALLERS = ("tg:nobody", "tg:member", "tg:other", "tg:admin", "tg:global", "tg:owner")
MAY = {
    Right.MEMBER: {"tg:member", "tg:admin", "tg:global", "tg:owner"},
    Right.ADMIN: {"tg:admin", "tg:global", "tg:owner"},
    Right.OWNER: {"tg:owner"},
}
"""Who may do what concerns the agent `main`."""


async def staffed(desk: Desk) -> None:
    admin = desk.admin
    session = await desk.session()
    await desk.task(session)
    await admin.wirings.connect(Address("cli", "other"), "other")
    main, other = await admin.agents.list()
    for user in CALLERS:
        await admin.users.create(user)
    await admin.members.add("tg:member", main.id)
    await admin.roles.grant("tg:other", "admin", other.id)
    await admin.roles.grant("tg:admin", "admin", main.id)
    await admin.roles.grant("tg:global", "admin")
    await admin.roles.grant("tg:owner", "owner")


PARAMS: dict[str, dict[str, Any]] = {
    "agents.show": {"agent": "main"},
    "agents.set": {"agent": "main", "name": "M"},
    "wirings.set": {"wiring": "cli:terminal", "priority": 1},
    "members.add": {"user": "tg:new", "agent": "main"},
    "members.list": {"agent": "main"},
    "destinations.list": {"agent": "main"},
    "sessions.pause": {"session": "cli:terminal"},
    "sessions.show": {"session": "cli:terminal"},
    "tasks.list": {"session": "cli:terminal"},
    "tasks.pause": {"task": "task-tea"},
    "roles.grant": {"user": "tg:new", "role": "admin", "agent": "main"},
    "agents.create": {"folder": "new"},
}


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("user", CALLERS)
async def test_an_operation_is_allowed_only_with_the_required_right(
    tmp_path: Path, name: str, user: str
) -> None:
    async with a_desk(tmp_path) as desk:
        await staffed(desk)
        right = desk.operations.catalogue.operation(name).declared.right
        if user in MAY[right]:
            await desk.perform_with(name, PARAMS[name], Caller.user(user))
            return
        with pytest.raises(OperationFailed, match=right.value) as caught:
            await desk.perform_with(name, PARAMS[name], Caller.user(user))
        assert caught.value.code == "forbidden"


async def test_an_operation_on_two_agents_needs_the_right_over_both(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await staffed(desk)
        params = {"agent": "main", "to_agent": "other"}
        with pytest.raises(OperationFailed, match="an admin of the agent main and other"):
            await desk.perform_with("destinations.add", params, Caller.user("tg:admin"))
        await desk.perform_with("destinations.add", params, Caller.user("tg:global"))


async def test_an_operation_without_an_agent_needs_the_right_over_all(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await staffed(desk)
        with pytest.raises(OperationFailed, match="a global admin, or the agent's name"):
            await desk.perform_with("members.list", {}, Caller.user("tg:admin"))
        assert await desk.perform_with("members.list", {}, Caller.user("tg:global"))


@pytest.mark.parametrize(
    ("name", "params"), [("agents.show", {"agent": "secret"}), ("tasks.show", {"task": "task-secret"})]
)
async def test_a_refusal_does_not_reveal_whether_a_thing_exists(
    tmp_path: Path, name: str, params: dict[str, str]
) -> None:
    async with a_desk(tmp_path) as desk:
        await staffed(desk)
        for user, code in (("tg:admin", "forbidden"), ("tg:owner", "not_found")):
            with pytest.raises(OperationFailed) as caught:
                await desk.perform_with(name, params, Caller.user(user))
            assert caught.value.code == code


async def test_typed_calls_check_the_right_as_well(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await staffed(desk)
        admin = Admin.of(desk.ground, Caller.user("tg:member"))
        with pytest.raises(Forbidden):
            await admin.members.add("tg:9", "main")
        assert (await admin.agents.show("main")).folder == "main"


async def test_the_owner_of_the_files_is_an_owner_without_a_row(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        assert await desk.perform("agents.create", Caller.local(), folder="new")
        assert await desk.admin.roles.list() == []


def test_every_destructive_operation_asks_and_no_reading_one_does() -> None:
    for operation in Catalogue.installed().operations.values():
        destroys = operation.verb in {"delete", "remove", "revoke", "archive", "cancel", "link"}
        assert bool(operation.declared.asks) == destroys, operation.name
        assert operation.declared.reads == (
            operation.verb in {"cards", "graph", "history", "list", "pairing", "refused", "rules", "show"}
        ), operation.name
