"""Each actor on the path of a message is killed: the message is answered, and its siblings continue.

Real threads, real inotify, real runners.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest
import trio

from nanoclaw.host import Host, open_host
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, crashed, statuses, supervisor

pytestmark = pytest.mark.slow

PATH = [
    ("host", "registry"),
    ("host", "wakeups"),
    ("senders", "fake"),
    ("fake chats", "chat"),
    ("sessions", "session"),
    ("receivers", "fake"),
]


@asynccontextmanager
async def two_chats(home: Path, channel: FakeChannel) -> AsyncIterator[tuple[Host, str]]:
    """Open a host with two answered chats. Yield the session that the test disturbs."""
    with trio.fail_after(GUARD_S):
        async with open_host(config(home), channels=[channel]) as host:
            await wire(host, channel.address("chat"))
            await wire(host, channel.address("sibling"))
            await channel.say("one", chat="sibling", event_id="s1")
            routed = await channel.say("one", event_id="1")
            await channel.wait_settled("1")
            await channel.wait_settled("s1")
            yield host, routed.session_ids[0]


async def say(channel: FakeChannel, chat: str, event_id: str) -> None:
    """Send a message of a new user, so that the registry is on the path."""
    await channel.say("hello", chat=chat, user=f"user-{event_id}", event_id=event_id)


@pytest.mark.parametrize(("under", "name"), PATH)
async def test_a_message_after_a_kill_is_answered(tmp_path: Path, under: str, name: str) -> None:
    channel = FakeChannel()
    async with two_chats(tmp_path, channel) as (host, session):
        killed = session if name == "session" else name
        supervisor(host, under).kill(killed)
        await say(channel, "chat", "2")
        await channel.reply_to("2")
        assert [one.in_reply_to for one in channel.sent if one.address.platform_id == "chat"] == ["1", "2"]
        assert crashed(host, under) == {killed}


@pytest.mark.parametrize(("under", "name"), PATH)
async def test_a_kill_while_a_message_is_under_way_loses_nothing(
    tmp_path: Path, under: str, name: str
) -> None:
    channel = FakeChannel(repeat="idempotent")
    async with two_chats(tmp_path, channel) as (host, session), trio.open_nursery() as nursery:
        killed = session if name == "session" else name
        for n in range(2, 12):
            nursery.start_soon(say, channel, "chat", str(n))
            nursery.start_soon(say, channel, "sibling", f"s{n}")
        await trio.lowlevel.checkpoint()
        supervisor(host, under).kill(killed)
        for n in range(2, 12):
            await channel.reply_to(str(n))
            await channel.reply_to(f"s{n}")
        answered = [one.in_reply_to for one in channel.sent]
        assert len(answered) == len(set(answered)) == 22


async def test_a_session_killed_while_its_runner_works_answers_once(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="idempotent")
    async with two_chats(tmp_path, channel) as (host, session):
        channel.typing_in.clear()
        await channel.say("two", event_id="2")
        while not channel.typing_in and len(channel.sent) < 3:
            await channel._changed.wait()
        supervisor(host, "sessions").kill(session)
        await channel.reply_to("2")
        await channel.say("three", event_id="3")
        await channel.reply_to("3")
        assert [one.in_reply_to for one in channel.sent if one.address.platform_id == "chat"] == list("123")


async def test_a_sender_killed_while_it_sends_sends_again_and_the_policy_bounds_it(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="again")
    async with two_chats(tmp_path, channel) as (host, _):
        channel.fail("hang")
        await channel.say("two", event_id="2")
        await channel.wait_attempts(3)
        supervisor(host, "fake chats").kill("chat")
        await channel.reply_to("2")
        assert len(channel.attempts) == 4


async def test_a_session_that_is_killed_repeatedly_is_buried_and_events_are_parked(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with two_chats(tmp_path, channel) as (host, session):
        sessions = supervisor(host, "sessions")
        channel.fail(
            "unavailable", times=inf, chat="chat"
        )  # the session stays alive for the undelivered message
        await channel.say("wait", event_id="w")
        await channel.wait_attempts(3)
        for _ in range(4):
            ref = sessions.get(session)
            assert ref is not None
            await ref.wait_started()
            sessions.kill(session)
            await trio.testing.wait_all_tasks_blocked()
        routed = await channel.say("two", event_id="2")
        assert routed.session_ids == (session,)
        await channel.say("two", chat="sibling", event_id="s2")
        await channel.reply_to("s2")
    channel.heal()
    async with open_host(config(tmp_path), channels=[channel]):
        with trio.fail_after(GUARD_S):
            await channel.reply_to("2")


async def test_several_kills_at_once_lose_nothing(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="idempotent")
    async with two_chats(tmp_path, channel) as (host, session):
        async with trio.open_nursery() as nursery:
            for n in range(2, 8):
                nursery.start_soon(say, channel, "chat", str(n))
            for under, name in PATH:
                await trio.lowlevel.checkpoint()
                supervisor(host, under).kill(session if name == "session" else name)
        for n in range(2, 8):
            await channel.reply_to(str(n))
    assert set(statuses(tmp_path, session)) == {"completed"}
