"""Requests to the host: an action that an embedder registers runs once, and its outcome comes back."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio

from agent_runner import tools
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema
from agent_runner.tools.requests import request
from nanoclaw.dispatch import ActionRefused, Request
from nanoclaw.host import HostFailed, open_host
from nanoclaw.session.task_requests import TASK_ACTIONS
from nanoclaw.store import Connection
from nanoclaw.store.central import meta
from nanoclaw.testing import World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.channel import FakeChannel
from nanoclaw.testing.world.chats import Chat
from nanoclaw.testing.world.executor import When
from tests.approvals.catalogues import a_catalogue
from tests.host.homes import config, only_session
from tests.host.test_foreign_code import Unreadable
from tests.kills import kill_at

OF_HOST = sorted(["book", *a_catalogue(Path("home")).for_agents])
TABLE = '!book {"what": "table"}'


ERRORS: Mapping[str, BaseException] = {
    "crash": KeyError("crash"),
    "unreadable": Unreadable(),
    "no exception": asyncio.CancelledError(),
    "a group": ExceptionGroup("", [ActionRefused("no table is free")]),
}


def book(connection: Connection, request: Request) -> Mapping[str, object]:
    """Count the bookings in the central database."""
    what = request.values.get("what")
    if not isinstance(what, str):
        raise ActionRefused("what is missing")
    if what in ERRORS:
        meta.put(connection, "bookings", "spoilt")
        raise ERRORS[what]
    if what == "infinity":
        return {"number": inf}
    count = int(meta.get(connection, "bookings") or 0) + 1
    meta.put(connection, "bookings", str(count))
    return {"what": what, "number": count}


@pytest.fixture(autouse=True)
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's side: `!book {"what": ...}`, and a tool whose request no host knows."""
    for name in ("book", "fly"):
        spec = ToolSpec(name, "", schema({}, what={"type": "string"}))
        monkeypatch.setitem(tools.TOOLS, name, BuiltinTool(spec, 60.0, partial(ask, name)))


async def ask(action: str, context: ToolContext, arguments: Mapping[str, object]) -> str:
    return f"done: {await request(context, {'action': action, **arguments}, context.home)}"


@pytest.fixture
def bookable(world: World) -> World:
    """Open a world whose host has one more action."""
    world.actions = {"book": book}
    return world


def bookings(world: World) -> list[str]:
    sql = "SELECT value FROM meta WHERE key = 'bookings'"
    return [value for (value,) in rows(world.home / "data" / "v2.db", sql)]


def answers(world: World) -> list[dict[str, Any]]:
    """Return the answers to the agent's requests."""
    sql = "SELECT content FROM messages_in WHERE id LIKE 'answer-%' ORDER BY seq"
    return [json.loads(content) for (content,) in rows(only_session(world.home).inbound_db, sql)]


def ledger(world: World) -> list[tuple[str, str, str | None]]:
    sql = """
        SELECT d.status, f.status, d.error FROM deliveries d JOIN delivered f USING (message_out_id)
        JOIN messages_in m ON m.id = 'answer-' || d.message_out_id
    """
    return [tuple(row) for row in rows(only_session(world.home).inbound_db, sql)]


async def a_chat(world: World) -> Chat:
    return await world.direct(world.user("ann"))


async def test_the_host_performs_a_request_and_answers(bookable: World) -> None:
    world = bookable
    chat = await a_chat(world)
    await world.user("ann").says(TABLE)
    await chat.expect("done: {'what': 'table', 'number': 1}")
    [answer] = answers(world)
    assert answer["requestId"]
    del answer["requestId"]
    result = {"what": "table", "number": 1}
    assert answer == {"action": "book", "status": "completed", "result": result}
    assert ledger(world) == [("final", "delivered", None)]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("!book {}", "what is missing"),
        ('!book {"what": "crash"}', "the host failed to do it: KeyError('crash')"),
        ('!book {"what": "unreadable"}', "the host failed to do it: Unreadable without a readable text"),
        ('!book {"what": "no exception"}', "the host failed to do it: CancelledError()"),
        ('!book {"what": "a group"}', "no table is free"),
        (
            '!book {"what": "infinity"}',
            "the host failed to do it: ValueError('Out of range float values are not JSON compliant')",
        ),
        ("!fly {}", f"action 'fly' is unknown; this host performs {', '.join([*TASK_ACTIONS, *OF_HOST])}"),
    ],
)
async def test_a_refused_action_is_answered_with_its_reason_and_changes_nothing(
    bookable: World, words: str, reason: str
) -> None:
    world = bookable
    chat = await a_chat(world)
    await world.user("ann").says(words)
    await chat.expect(reason)
    [answer] = answers(world)
    assert (answer["status"], answer["result"]) == ("failed", {"error": reason})
    assert ledger(world) == [("final", "failed", reason)]
    assert bookings(world) == []
    await world.user("ann").says("still there?")
    await chat.expect("echo: still there?")


async def test_a_lone_surrogate_in_a_request_does_no_harm(bookable: World) -> None:
    chat = await a_chat(bookable)
    await bookable.user("ann").says('!book {"what": "\\ud800"}')
    await chat.expect("done: {'what': '?', 'number': 1}")


async def test_a_host_that_is_killed_between_any_two_commits_performs_it_once(bookable: World) -> None:
    commits = await _books(bookable, None)
    assert commits > 8
    for when in ("before", "after"):
        for nth in range(1, commits + 1):
            async with World(actions={"book": book}) as other:
                await _books(other, (when, nth))


async def _books(world: World, kill: tuple[When, int] | None) -> int:
    await a_chat(world)
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.user("ann").says, TABLE)
        await world.sleep(20)
        commits = world.executor.commits - begun
        if not world.host_lives:
            await world.start()
    await world.sleep(minutes=5)
    assert bookings(world) == ["1"], kill
    [answer] = answers(world)
    assert answer["result"] == {"what": "table", "number": 1}, kill
    assert ledger(world) == [("final", "delivered", None)], kill
    return commits


async def test_a_hanging_chat_delays_no_request(bookable: World) -> None:
    world = bookable
    ann, ben = world.user("ann"), world.user("ben")
    team = world.group("team", [ann, ben])
    await world.wire(team)
    world.channel.fail("unavailable", times=10_000)
    await ann.says("hello", in_=team)
    await ben.says(TABLE, in_=team)
    await world.sleep(10)
    assert bookings(world) == ["1"]


async def test_no_channel_can_have_the_type_of_agents(tmp_path: Path) -> None:
    channel = FakeChannel(channel_type="agent")
    with pytest.raises(HostFailed, match="is reserved for messages between agents"):
        async with open_host(config(tmp_path), channels=[channel]):
            pass


async def test_a_registered_action_cannot_take_the_name_of_a_task_action(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="sessions perform cancel_task themselves"):
        async with open_host(config(tmp_path), actions={"cancel_task": book}):
            pass


async def test_an_async_handler_is_refused_at_the_start(tmp_path: Path) -> None:
    async def order(_connection: Connection, _request: Request) -> Mapping[str, object]:
        return {}

    handler: Any = order
    with pytest.raises(HostFailed, match="the action 'order' must be a plain function of a connection"):
        async with open_host(config(tmp_path), actions={"order": handler}):
            pass
