"""Edits, deletions and reactions: who gets them, and as what."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import evolve

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.recording import lines
from nanoclaw.recording.notes import Offered
from nanoclaw.recording.redaction import redacted
from nanoclaw.records import (
    Address,
    ChatMessage,
    Deleted,
    Event,
    InboundEvent,
    Reacted,
    SdkMessage,
    Webhook,
    received,
)
from nanoclaw.records.content import dump_parked, load_parked
from nanoclaw.routing.remarks import ELSEWHERE, TAKEN_BACK, UNHEARD
from nanoclaw.store import Executor, ThreadExecutor
from nanoclaw.store.session.targets import MAX_REACTIONS
from nanoclaw.testing import Entry, FakeChannel, World, wire
from tests.host.homes import GUARD_S, config, only_session, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import container_runs
from tests.host.test_deliveries import says as a_row

CHAT = Address("fake", "chat", "thread")
HEART = "❤️"


@asynccontextmanager
async def a_host(
    home: Path, channel: FakeChannel, executor: Executor | None = None, runtime: FakeRuntime | None = None
) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=runtime or FakeRuntime(), executor=executor or ThreadExecutor())
        async with open_host(config(home), channels=[channel], seams=seams) as host:
            yield host


def stored(home: Path, session: str = "*") -> list[tuple[str, int, dict[str, Any]]]:
    """Return kind, trigger and content of each row, in order of `seq`."""
    [file] = (home / "data" / "sessions").glob(f"*/{session}/inbound/inbound.db")
    found = rows(file, "SELECT kind, trigger, content FROM messages_in ORDER BY seq")
    return [(kind, trigger, json.loads(content)) for kind, trigger, content in found]


def live(home: Path, sql: str) -> list[Any]:
    """Read rows of the only session while the host writes it; none if it is busy."""
    connection = apsw.Connection(str(only_session(home).inbound_db), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    except apsw.BusyError:  # the host commits now
        return []
    finally:
        connection.close()


def said(entries: Any) -> Entry:
    """Return what a user has said first."""
    found: Entry = next(entry for entry in entries if not entry.from_agent)
    return found


# -- edits -------------------------------------------------------------------------


async def test_an_edit_is_a_row_of_its_own_that_names_the_message(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        await channel.say("helo", event_id="m")
        routed = [await channel.edit("m", "hello", version="v2") for _ in range(2)]
        assert routed[0] == routed[1]
        await channel.edit("m", "hello!", version="v3")
    texts = [(content["text"], content.get("editOf"), trigger) for _, trigger, content in stored(tmp_path)]
    assert texts == [("helo", None, 1), ("hello", 2, 1), ("hello!", 2, 1)]
    assert {content["id"] for _, _, content in stored(tmp_path)} == {"m"}


async def test_an_edit_is_found_by_the_id_of_its_message_if_its_event_has_another(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        await channel.say("another", event_id="m-1")
        await channel.say("helo", event_id="m")
        message = ChatMessage("m", "hello", "user", "fake:user")
        await channel.offer(InboundEvent(channel.address(), "update-77", message, "v2"))
    assert stored(tmp_path)[-1][2]["editOf"] == 4


async def test_an_edit_of_an_unknown_message_wakes_the_agent_and_names_none(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        await channel.edit("m", "hello")
    [(_, trigger, content)] = stored(tmp_path)
    assert (trigger, content["text"], content["editOf"]) == (1, "hello", None)


async def test_an_edit_that_the_rules_ignore_is_context_where_the_message_is(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), trigger_rules={"mentionOnly": True})
        assert not (await channel.edit("m", "before any session")).session_ids
        await channel.say("claw, cook rice", event_id="m", mention=True)
        await channel.say("not for it", event_id="other")
        assert (await channel.edit("m", "cook pasta")).session_ids
        await channel.edit("other", "still not for it")
        await channel.edit("other", "claw, for you now", mention=True)
    found = [(trigger, content["text"], content.get("editOf")) for _, trigger, content in stored(tmp_path)]
    assert found == [
        (1, "claw, cook rice", None),
        (0, "cook pasta", 2),
        (1, "claw, for you now", None),
    ]


async def test_the_agent_reads_edits_and_deletions_as_such(world: World) -> None:
    seen = list[list[tuple[object, object]]]()

    async def brain(turn: Turn, _tools: Toolbox) -> str:
        contents = [row.content for row in (*turn.context, *turn.messages)]
        seen.append([(each.get("text") or each["type"], _number(each)) for each in contents])
        await trio.lowlevel.checkpoint()
        return "ok"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("first")
    message = said(chat.transcript)
    await ann.edits(message, "first, changed")  # before a runner has claimed the message
    await chat.expect("ok")
    await ann.edits(message, "first, changed again")
    await chat.expect("ok")
    await ann.deletes(message)
    await ann.says("last")
    await chat.expect("ok")
    assert seen == [
        [("first", None), ("first, changed", 2)],
        [("first, changed again", 2)],
        [("deleted", 2), ("last", None)],
    ]


def _number(content: Mapping[str, object]) -> object:
    """Return the number of the message that a content is about."""
    return content.get("editOf", content.get("messageId"))


# -- deletions ---------------------------------------------------------------------


async def test_a_deletion_is_context_and_stored_once(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        await channel.say("hello", event_id="m")
        routed = [await channel.delete("m") for _ in range(2)]
        assert routed[0] == routed[1]
        assert len(routed[0].session_ids) == 1
        assert (await channel.delete("unknown")).dropped == ELSEWHERE
    assert stored(tmp_path)[1:] == [("system", 0, {"type": "deleted", "userId": "fake:user", "messageId": 2})]


async def test_a_deletion_by_nobody_in_particular_reaches_whoever_has_the_message(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), policy="public")
        await channel.say("hello", event_id="m")
        await wire(host, channel.address(), policy="strict")
        assert (await channel.delete("m", user="eve")).dropped == UNHEARD
        assert (await channel.delete("m", user=None)).session_ids
    assert stored(tmp_path)[-1] == ("system", 0, {"type": "deleted", "messageId": 2})


async def test_a_deletion_reaches_every_agent_that_has_the_message_and_no_other(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), agent="hears")
        await wire(host, channel.address(), agent="too")
        await wire(host, channel.address(), agent="called", trigger_rules={"pattern": "^called"})
        assert (await channel.delete("m")).dropped == ELSEWHERE  # there is no session yet
        all_ids = (await channel.say("called", event_id="n")).session_ids
        ids = (await channel.say("hello", event_id="m")).session_ids
        assert (len(all_ids), len(ids)) == (3, 2)
        assert (await channel.delete("m")).session_ids == ids


# -- reactions ---------------------------------------------------------------------


@asynccontextmanager
async def a_delivery(home: Path, **wiring: Any) -> AsyncIterator[tuple[Host, FakeChannel]]:
    """Yield a host whose agent has delivered a message, number 1, with the id `fake-1`."""
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(home, channel, runtime=runtime) as host:
        await wire(host, channel.address(), **wiring)
        await channel.say("hello", event_id="m-1")
        await runtime.wait_started(1)
        container_runs(only_session(home), a_row("out-1", 1, channel.address()))
        await channel.wait_for(1)
        while not live(home, "SELECT 1 FROM delivered"):
            await trio.lowlevel.checkpoint()
        yield host, channel


async def test_a_reaction_to_a_message_of_the_agent_is_context(tmp_path: Path) -> None:
    async with a_delivery(tmp_path) as (_, channel):
        routed = [await channel.react("fake-1", HEART, event_id="r") for _ in range(2)]
        assert routed[0] == routed[1]
        assert len(routed[0].session_ids) == 1
    told = {"type": "reaction", "emoji": HEART, "sender": "user", "senderId": "fake:user", "messageId": 1}
    assert stored(tmp_path)[1:] == [("system", 0, told)]


async def test_other_reactions_are_dropped_with_a_reason(tmp_path: Path) -> None:
    async with a_delivery(tmp_path) as (host, channel):
        await wire(host, channel.address("elsewhere"))
        await channel.say("hello", chat="elsewhere")
        dropped = [
            await channel.react("m-1", HEART),
            await channel.react("fake-2", HEART),
            await channel.react("fake-1", HEART, removed=True),
            await channel.react("fake-1", HEART, chat="elsewhere"),
            await channel.react("fake-1", HEART, chat="unknown"),
        ]
        assert [each.dropped for each in dropped] == [ELSEWHERE, ELSEWHERE, TAKEN_BACK, ELSEWHERE, ELSEWHERE]
        assert not any(each.session_ids for each in dropped)
        assert [chat.platform_id for chat in await host.admin.chats.list()] == ["chat", "elsewhere"]


async def test_a_reaction_of_somebody_who_is_not_heard_reaches_no_session(tmp_path: Path) -> None:
    async with a_delivery(tmp_path, trigger_rules={"excludeSenders": ["fake:bot"]}) as (host, channel):
        assert (await channel.react("fake-1", HEART, user="bot")).dropped == UNHEARD
        await wire(host, channel.address(), policy="strict")
        assert (await channel.react("fake-1", HEART, user="eve")).dropped == UNHEARD
        await host.admin.users.create("fake:eve")
        await host.admin.members.add("fake:eve", "main")
        assert (await channel.react("fake-1", HEART, user="eve")).session_ids
    assert len(stored(tmp_path)) == 2


async def test_a_reaction_does_not_change_where_an_agent_of_several_chats_answers(tmp_path: Path) -> None:
    async with a_delivery(tmp_path, session_mode="agent-shared") as (host, channel):
        await wire(host, channel.address("b"), session_mode="agent-shared")
        await channel.say("hello", chat="b")
        assert (await channel.react("fake-1", HEART)).session_ids
        assert (await channel.react("fake-1", HEART, chat="b")).dropped == ELSEWHERE
        assert (await channel.delete("m-1")).session_ids
    routing = rows(only_session(tmp_path).inbound_db, "SELECT platform_id FROM session_routing")
    assert routing == [("b",)]


async def test_too_many_reactions_are_dropped_and_hide_no_report(tmp_path: Path) -> None:
    async with a_delivery(tmp_path) as (_, channel):
        for _ in range(MAX_REACTIONS):
            assert (await channel.react("fake-1", HEART)).session_ids
        assert (await channel.react("fake-1", HEART)).dropped
        container_runs(only_session(tmp_path), a_row("bad", 3, Address("fake", "forbidden")))
        while not live(tmp_path, 'SELECT 1 FROM messages_in WHERE content LIKE \'{"type":"delivery"%\''):
            await trio.lowlevel.checkpoint()


async def test_a_reaction_goes_into_the_agents_next_turn(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent())
    await ann.says("hello")
    reply = await chat.expect("echo: hello")
    assert (await ann.reacts(reply, HEART)).session_ids
    await chat.expect_nothing()
    assert (await ann.reacts(said(chat.transcript), HEART)).dropped == ELSEWHERE
    await ann.says("and?")
    await chat.expect("echo: and?")
    sql = "SELECT status FROM messages_in WHERE kind = 'system'"
    assert rows(only_session(world.home).inbound_db, sql) == [("completed",)]
    assert [entry.kind for entry in chat.transcript if entry.dropped] == ["reaction"]


# -- a session that cannot take it -------------------------------------------------


async def test_a_deletion_is_parked_for_a_session_that_is_down_and_replayed(tmp_path: Path) -> None:
    class Failing(ThreadExecutor):
        """Makes a given number of commits of `inbound.db` fail."""

        left = 0

        def before_commit(self, path: Path) -> None:
            if path.name == "inbound.db" and self.left:
                self.left -= 1
                raise OSError("disk trouble")

    channel, executor = FakeChannel(), Failing()
    async with a_host(tmp_path, channel, executor) as host:
        await wire(host, channel.address(), trigger_rules={"mentionOnly": True, "ignored": "accumulate"})
        [session] = (await channel.say("hello", event_id="m")).session_ids
        executor.left = 3
        assert (await channel.delete("m")).session_ids == (session,)
        assert executor.left == 0
        while await host.admin.parked.list():
            await trio.lowlevel.checkpoint()
    assert [content.get("type") for _, _, content in stored(tmp_path)] == [None, "deleted"]


SDK = {"id": "1", "text": "secret", "author": {"userId": "7"}, "attachments": [{"type": "a", "data": "aGk="}]}
EVENTS: list[Event] = [
    SdkMessage(CHAT, "1", SDK, "2", "name", is_group=True),
    Webhook(CHAT, "1", "github", "push", {"secret": ["secret", 1, None]}),
    Deleted(CHAT, "1"),
    Deleted(CHAT, "1", "fake:ann"),
    Reacted(CHAT, "1", "2", HEART, "Ann", "fake:ann"),
    Reacted(CHAT, "1", "2", HEART, "Ann", "fake:ann", removed=True),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_parked_and_recorded_whole(event: Any) -> None:
    assert load_parked(dump_parked(event, trigger=False)) == (event, False)
    assert lines.load(lines.dump(1.0, Offered(1, None, event))).note == Offered(1, None, event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_redacted_recording_has_no_text_of_an_event(event: Any) -> None:
    line = lines.dump(1.0, redacted(Offered(1, None, event)))
    assert "secret" not in line.replace('"secret":', "")
    assert isinstance(lines.load(line).note, Offered)


def test_the_ids_of_rows_are_those_of_their_events() -> None:
    ids = [
        received(evolve(event, address=Address("fake", chat))).message_id  # type: ignore[union-attr]  # not a click
        for event in (EVENTS[0], EVENTS[1], EVENTS[2], EVENTS[4])
        for chat in ("a", "b")
    ]
    assert len(set(ids)) == len(ids)
