"""Routing of events to sessions. A real host on real files; its runners do nothing."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import evolve

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import (
    Address,
    Attachment,
    ChatMessage,
    InboundEvent,
    SessionMode,
)
from nanoclaw.records.content import dump_parked, load_parked, storable
from nanoclaw.store import Executor, ThreadExecutor
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, rows
from tests.host.runtimes import FakeRuntime


@asynccontextmanager
async def a_host(
    home: Path,
    channel: FakeChannel,
    executor: Executor | None = None,
    runtime: FakeRuntime | None = None,
) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=runtime or FakeRuntime(), executor=executor or ThreadExecutor())
        async with open_host(config(home), channels=[channel], seams=seams) as host:
            yield host


async def central(host: Host, sql: str) -> list[Any]:
    def read(connection: apsw.Connection) -> list[Any]:
        return connection.execute(sql).fetchall()

    return await host.central.run(read)


def texts(home: Path, session: str) -> list[str]:
    """Return the messages that a session has stored, in order of `seq`."""
    [file] = (home / "data" / "sessions").glob(f"*/{session}/inbound/inbound.db")
    return [text for (text,) in rows(file, "SELECT content ->> 'text' FROM messages_in ORDER BY seq")]


# -- session modes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "sessions"), [("shared", [0, 0, 1]), ("per-thread", [0, 1, 2]), ("agent-shared", [0, 0, 0])]
)
async def test_the_session_mode_says_which_messages_share_a_session(
    tmp_path: Path, mode: SessionMode, sessions: list[int]
) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        for chat in "ab":
            await wire(host, channel.address(chat), session_mode=mode)
        places = [("a", "t1"), ("a", "t2"), ("b", "t3")]
        routed = [await channel.say("x", chat=chat, thread=thread) for chat, thread in places]
        ids = [one.session_ids[0] for one in routed]
        assert [list(dict.fromkeys(ids)).index(id_) for id_ in ids] == sessions


async def test_every_agent_wired_to_a_chat_gets_its_messages(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), agent="main")
        await wire(host, channel.address(), agent="other", priority=1)
        routed = await channel.say("x")
        assert len(set(routed.session_ids)) == 2
    assert [texts(tmp_path, id_) for id_ in routed.session_ids] == [["x"], ["x"]]


# -- access --------------------------------------------------------------------


async def test_a_public_chat_admits_unregistered_senders(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), policy="public")
        assert (await channel.say("x")).dropped is None


async def test_an_unregistered_sender_is_refused_and_counted(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), policy="strict")
        for _ in range(2):
            routed = await channel.say("x", user="eve")
            assert (routed.session_ids, routed.dropped) == ((), "the sender is not known here")
        [counted] = await host.admin.dropped.list()
        assert (counted.user_id, counted.sender_name, counted.message_count) == ("fake:eve", "eve", 2)
        assert counted.reason == "unknown_sender_strict"
        assert await central(host, "SELECT * FROM sessions") == []


async def test_the_owner_is_admitted_to_a_strict_chat(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await host.bootstrap(channel.address(), "Chat", owner_id="fake:me", owner_name="Me")
        assert (await channel.say("x", user="me")).session_ids
        assert not (await channel.say("x", user="eve")).session_ids


async def test_wiring_again_changes_the_policy_and_keeps_the_wiring(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        first = await wire(host, channel.address(), policy="strict", session_mode="per-thread")
        again = await wire(host, channel.address(), policy="public")
        assert (again.id, again.session_mode) == (first.id, "per-thread")
        assert (await channel.say("x", user="eve")).session_ids


# -- chats and users -----------------------------------------------------------


async def test_an_unknown_chat_gets_a_row_and_its_message_is_dropped(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        for _ in range(2):
            assert (await channel.say("x", group=True)).dropped == "no agent is wired to this chat"
        chats = "SELECT channel_type, platform_id, is_group, unknown_sender_policy FROM messaging_groups"
        assert await central(host, chats) == [("fake", "chat", 1, "strict")]
        await wire(host, channel.address())
        assert (await channel.say("x")).session_ids


async def test_a_user_keeps_the_name_last_seen(tmp_path: Path) -> None:
    channel = FakeChannel()
    event = InboundEvent(channel.address(), "1", ChatMessage("1", "x", "Ann", "fake:1"))
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        await channel.offer(event)
        renamed = evolve(event, event_id="2", message=evolve(event.message, sender="Anna"))
        await channel.offer(renamed)
        assert await central(host, "SELECT id, kind, display_name FROM users") == [("fake:1", "fake", "Anna")]


async def test_the_assistants_own_messages_are_dropped(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        own = ChatMessage("1", "x", "Claw", "fake:bot", is_from_me=True)
        assert (await channel.offer(InboundEvent(channel.address(), "1", own))).session_ids == ()


# -- what is stored ------------------------------------------------------------


async def test_an_event_offered_twice_is_stored_once_and_its_edit_beside_it(tmp_path: Path) -> None:
    channel = FakeChannel()
    event = InboundEvent(channel.address(), "1", ChatMessage("1", "x", "Ann", "fake:1"))
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
        routed = [await channel.offer(event) for _ in range(2)]
        assert routed[0] == routed[1]
        edited = evolve(event, version="2", message=evolve(event.message, text="y"))
        assert (await channel.offer(edited)).message_ids != routed[0].message_ids
    assert texts(tmp_path, routed[0].session_ids[0]) == ["x", "y"]


async def test_concurrent_offers_of_a_chat_keep_their_order(tmp_path: Path) -> None:
    channel, said, session = FakeChannel(), dict[str, list[str]](a=[], b=[]), dict[str, str]()

    async def say(chat: str, text: str) -> None:
        said[chat].append(text)
        session[chat] = (await channel.say(text, chat=chat)).session_ids[0]

    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address("a"))
        await wire(host, channel.address("b"))
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(say, "ab"[n % 2], str(n))
    assert {chat: texts(tmp_path, session[chat]) for chat in "ab"} == said


async def test_concurrent_offers_share_commits(tmp_path: Path) -> None:
    class Slow(ThreadExecutor):
        """Delays the commits of `inbound.db` while told to, and counts them."""

        commits = 0
        held = threading.Event()

        def before_commit(self, path: Path) -> None:
            if path.name == "inbound.db":
                self.commits += 1
                assert self.held.wait(GUARD_S)

    channel, executor, runtime = FakeChannel(), Slow(), FakeRuntime()
    async with a_host(tmp_path, channel, executor, runtime) as host:
        await wire(host, channel.address())
        executor.held.set()
        [session] = (await channel.say("first")).session_ids
        await runtime.wait_started(1)  # from here on, all commits are those of messages
        before = executor.commits
        executor.held.clear()
        ref = host.sessions._supervisor.get(session)
        assert ref is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.say, "0")
            while executor.commits == before:
                await trio.lowlevel.checkpoint()
            for n in range(1, 21):
                nursery.start_soon(channel.say, str(n))
            while len(ref._mailbox.queue) < 20:
                await trio.lowlevel.checkpoint()
            executor.held.set()
        # One commit for the first event, and one for the other twenty.
        assert executor.commits - before == 2
    assert len(texts(tmp_path, session)) == 22


async def test_text_that_no_database_takes_is_made_storable(tmp_path: Path) -> None:
    channel = FakeChannel()
    message = ChatMessage("\ud800", "a\udfffb", "\ud800", "fake:\ud800")
    event = InboundEvent(Address("fake", "\ud800"), "\ud800", message, chat_name="\ud800")
    async with a_host(tmp_path, channel) as host:
        await channel.offer(event)
        await wire(host, Address("fake", "?"))
        [session] = (await channel.offer(event)).session_ids
    assert texts(tmp_path, session) == ["a?b"]


def test_storable_changes_texts_only() -> None:
    attachment = Attachment("image", "n\ud800", data="aGk=")
    message = ChatMessage("1", "grüß", "u", "u", (attachment,), is_mention=True)
    event = InboundEvent(Address("fake", "c", None), "1", message, is_group=True)
    clean = evolve(event, message=evolve(message, attachments=(evolve(attachment, name="n?"),)))
    assert storable(event) == clean
    assert storable(clean) == clean


@pytest.mark.parametrize("trigger", [True, False])
def test_a_parked_event_keeps_everything(trigger: bool) -> None:  # noqa: FBT001 -- parametrized
    attachment = Attachment("image", "n", data="aGk=")
    message = ChatMessage("1", "grüß", "u", "u", (attachment,), is_mention=True)
    event = InboundEvent(Address("fake", "c", "t"), "1", message, "2", "name", is_group=True)
    assert load_parked(dump_parked(event, trigger=trigger)) == (event, trigger)


# -- a session that cannot take it ---------------------------------------------


async def test_an_event_on_which_its_session_crashes_again_and_again_is_parked_and_replayed(
    tmp_path: Path,
) -> None:
    class Failing(ThreadExecutor):
        """Makes a given number of commits of `inbound.db` fail."""

        left = 0

        def before_commit(self, path: Path) -> None:
            if path.name == "inbound.db" and self.left:
                self.left -= 1
                raise OSError("disk trouble")

    channel, executor = FakeChannel(), Failing()
    rules = {"mentionOnly": True, "ignored": "accumulate"}
    async with a_host(tmp_path, channel, executor) as host:
        await wire(host, channel.address(), trigger_rules=rules)
        [session] = (await channel.say("first")).session_ids
        executor.left = 3
        assert (await channel.say("context")).session_ids == (session,)
        assert executor.left == 0
        while await central(host, "SELECT * FROM parked_events"):
            await trio.lowlevel.checkpoint()
    [file] = (tmp_path / "data" / "sessions").glob("*/*/inbound/inbound.db")
    found = rows(file, "SELECT content ->> 'text', trigger FROM messages_in ORDER BY seq")
    assert found == [("first", 0), ("context", 0)]
