"""The host dies at each commit of an approval, from the request to the answer: everything happens once."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

from actors import ActorError
from agent_runner import tools
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, schema
from nanoclaw.store import StoreError
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.errors import HostKilled, WorldError
from nanoclaw.testing.world.executor import When
from tests.approvals.kinds import BuildKind, PaintKind
from tests.dispatch.test_host_actions import ask
from tests.host.homes import only_session
from tests.kills import kill_at


@pytest.fixture(autouse=True)
def tools_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("paint", "build"):
        spec = ToolSpec(name, "", schema({}, wall={"type": "string"}))
        monkeypatch.setitem(tools.TOOLS, name, BuiltinTool(spec, 60.0, partial(ask, name)))


def a_world() -> World:
    """Return a world whose network recognizes a message that is sent again."""
    return World(channel=FakeChannel(repeat="idempotent"), approval_kinds=[PaintKind(), BuildKind()])


async def _play(world: World, action: str, kill: tuple[When, int] | None) -> int:
    """Ask, and decide as ann does whatever happens to the host. Return the number of commits."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    await world.grant(ann, "owner")
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(ann.says, f'!{action} {{"wall": "north"}}'))
        for decision in (False, True):
            if decision:
                nursery.start_soon(partial(ann.clicks, "Approve", within=2000))
            await world.sleep(60)
            if not world.host_lives:
                await world.start()
            await world.sleep(60)
        if not world.host_lives:
            await world.start()
    await world.sleep(600)
    _check(world, action, [entry for entry in chat.transcript if entry.from_agent], kill)
    return world.executor.commits - begun


def _check(world: World, action: str, said: list[Any], kill: object) -> None:
    central = world.home / "data" / "v2.db"
    done = rows(central, "SELECT status, told_at IS NOT NULL, finished_at IS NOT NULL FROM pending_approvals")
    assert done == [("approved", 1, 1)], kill
    assert len([entry for entry in said if entry.kind == "card"]) == 1, kill
    edits = [entry.text for entry in said if entry.kind == "edit"]
    assert edits, kill
    assert all("Approved by ann" in text for text in edits), kill
    sql = "SELECT content FROM messages_in WHERE id LIKE 'outcome-%'"
    [(content,)] = rows(only_session(world.home).inbound_db, sql)
    assert json.loads(content)["status"] == "completed", kill
    painted = rows(central, "SELECT value FROM meta WHERE key = 'painted north'")
    assert painted == ([("1",)] if action == "paint" else []), kill


async def _delete(world: World) -> None:
    """Delete the open request as a person does who tries again if the host dies."""
    while True:
        with suppress(ActorError, StoreError, HostKilled, WorldError):
            for each in await world.host.admin.approvals.list("pending"):
                await world.host.admin.approvals.delete(each.approval_id)
            return
        await world.sleep(5)


async def _play_deletion(world: World, kill: tuple[When, int] | None) -> int:
    """Ask, and delete the request whatever happens to the host. Return the number of commits from then."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    await world.grant(ann, "owner")
    await ann.says('!paint {"wall": "north"}')
    await world.sleep(60)
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_delete, world)
        await world.sleep(60)
        if not world.host_lives:
            await world.start()
    await world.sleep(600)
    assert rows(
        world.home / "data" / "v2.db", "SELECT status, told_at IS NOT NULL FROM pending_approvals"
    ) == [("withdrawn", 1)], kill
    edits = [entry.text for entry in chat.transcript if entry.kind == "edit"]
    assert edits, kill
    assert all("Needs no decision any more: the request was deleted" in text for text in edits), kill
    sql = "SELECT json_extract(content, '$.decision') FROM messages_in WHERE id LIKE 'outcome-%'"
    assert rows(only_session(world.home).inbound_db, sql) == [("withdrawn",)], kill
    return world.executor.commits - begun


@pytest.mark.usefixtures("world")  # it brings the virtual clock
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_leaves_no_deleted_request_untold(when: When) -> None:
    async with a_world() as world:
        commits = await _play_deletion(world, None)
    assert commits > 3
    for nth in range(1, commits + 1):
        async with a_world() as world:
            await _play_deletion(world, (when, nth))


@pytest.mark.usefixtures("world")  # it brings the virtual clock
@pytest.mark.slow
@pytest.mark.parametrize(("when", "action"), [("before", "paint"), ("after", "build")])
async def test_a_kill_at_any_commit_loses_nothing_and_does_nothing_twice(when: When, action: str) -> None:
    async with a_world() as world:
        commits = await _play(world, action, None)
    assert commits > 10
    for nth in range(1, commits + 1):
        async with a_world() as world:
            await _play(world, action, (when, nth))
