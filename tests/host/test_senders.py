from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from actors import Policy, Supervisor
from nanoclaw.channels.chat_sender import (
    DELIVERY_TIMEOUT_S,
    DRAFT_TIMEOUT_S,
    HINT_TIMEOUT_S,
    OutcomeUnknown,
    Settled,
    Typing,
)
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable, DeliveryRejected, Sender
from nanoclaw.channels.senders import LONGEST_PAUSE_S, Senders, open_senders
from nanoclaw.records import (
    Address,
    EditContent,
    Outgoing,
    OutgoingContent,
    OutgoingFile,
    ReactionContent,
    Receipt,
    TextContent,
)
from nanoclaw.system.supervision import Supervision
from nanoclaw.testing import FakeChannel

A, B = Address("fake", "a"), Address("fake", "b")


def to(address: Address, id_: str = "out-1") -> Outgoing:
    return Outgoing(id_, address, TextContent(id_))


@asynccontextmanager
async def senders(channel: FakeChannel) -> AsyncIterator[tuple[Senders, Supervisor]]:
    """Open the senders of one channel, and their supervisor."""
    supervision = Supervision(Random(1))
    async with (
        supervision.open("host", under=None, policy=Policy()) as root,
        open_senders({channel.channel_type: channel}, supervision, under=root) as opened,
    ):
        yield opened, next(iter(root._nested))


async def test_a_receipt_comes_back() -> None:
    channel = FakeChannel()
    async with senders(channel) as (found, _):
        assert (await found.deliver(to(A))).platform_message_id == "fake-1"
        assert channel.sent == [to(A)]


async def test_a_channel_that_is_not_there_took_nothing() -> None:
    async with senders(FakeChannel()) as (found, _):
        with pytest.raises(ChannelUnavailable, match="no channel 'tg'"):
            await found.deliver(to(Address("tg", "a")))


class PlainChannel(FakeChannel):
    """A channel that supports only texts."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(edits=False, reactions=False, files=False, typing=False, settled=False)


@pytest.mark.parametrize(
    ("content", "files", "words"),
    [
        (EditContent("m-1", "new"), (), "the channel fake cannot edit a message"),
        (ReactionContent("m-1", "!"), (), "the channel fake cannot show a reaction"),
        (
            TextContent("look"),
            (OutgoingFile("a.txt", Path("/a.txt"), 0),),
            "the channel fake cannot send files",
        ),
    ],
)
async def test_a_channel_is_asked_only_for_its_capabilities(
    content: OutgoingContent, files: tuple[OutgoingFile, ...], words: str
) -> None:
    channel = PlainChannel()
    async with senders(channel) as (found, _):
        with pytest.raises(DeliveryRejected, match=words):
            await found.deliver(Outgoing("out-1", A, content, files=files))
        await found.hint(A, Typing(A))
        await found.hint(A, Settled(A, "m-1", "completed"))
        await found.deliver(to(A))
    assert channel.attempts == [to(A)]
    assert (channel.typing_in, channel.settled) == ([], {})


async def test_a_refusal_is_raised_unchanged_and_crashes_no_actor() -> None:
    channel = FakeChannel()
    channel.fail("rejected")
    channel.fail("unavailable")
    async with senders(channel) as (found, _):
        with pytest.raises(DeliveryRejected):
            await found.deliver(to(A))
        with pytest.raises(ChannelUnavailable):
            await found.deliver(to(A))
        await found.deliver(to(A))
        assert channel.connections == 1


async def test_an_attempt_that_breaks_is_of_unknown_outcome_and_the_next_one_is_made() -> None:
    channel = FakeChannel()
    channel.fail("crash after")
    async with senders(channel) as (found, _):
        with pytest.raises(OutcomeUnknown, match="NetworkBroke"):
            await found.deliver(to(A))
        await found.deliver(to(A, "out-2"))
        assert [one.message_out_id for one in channel.sent] == ["out-1", "out-2"]


async def test_an_attempt_that_hangs_is_of_unknown_outcome_after_its_time() -> None:
    channel = FakeChannel()
    channel.fail("hang")
    async with senders(channel) as (found, _):
        start = trio.current_time()
        with pytest.raises(OutcomeUnknown, match="did not answer"):
            await found.deliver(to(A))
        assert trio.current_time() - start == DELIVERY_TIMEOUT_S


async def test_a_chat_that_hangs_holds_no_other_and_its_own_in_order() -> None:
    channel = FakeChannel()
    channel.fail("hang", chat="a")
    async with senders(channel) as (found, _), trio.open_nursery() as nursery:
        nursery.start_soon(found.deliver, to(A, "first"))
        await channel.wait_attempts(1)
        nursery.start_soon(found.deliver, to(A, "second"))
        await found.deliver(to(B))
        assert [one.message_out_id for one in channel.sent] == ["out-1"]
        channel.heal()
        await channel.wait_for(3)
        assert [one.message_out_id for one in channel.sent] == ["out-1", "first", "second"]


async def test_a_broken_connection_is_opened_again() -> None:
    channel = FakeChannel()
    async with senders(channel) as (found, _):
        await found.deliver(to(A))
        channel.disconnect()
        await wait_all_tasks_blocked()
        await found.deliver(to(A, "out-2"))
        assert channel.connections == 2


async def test_a_channel_that_cannot_connect_is_connected_within_a_minute_after_its_network_is_back() -> None:
    channel = FakeChannel()
    channel.unreachable = 1_000_000
    async with senders(channel) as (found, _):
        with pytest.raises(ChannelUnavailable, match="not connected"):
            await found.deliver(to(A))
        await trio.sleep(3600)
        channel.unreachable = 0
        await trio.sleep(1.25 * LONGEST_PAUSE_S)
        await found.deliver(to(A))


class Patient(FakeChannel):
    """A channel whose network asks for patience when it connects."""

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        self.connections += 1
        if self.connections == 1:
            raise ChannelUnavailable("too many logins", 30.0, condition="rate limited")
        async with super().sender() as sender:
            yield sender


async def test_a_network_that_asks_for_patience_gets_it() -> None:
    channel = Patient()
    async with senders(channel) as (found, _):
        await trio.sleep(29.9)
        assert channel.connections == 1
        trouble = found.conditions.of("fake", sender_runs=False, receiver_runs=True)
        assert trouble is not None
        assert trouble.condition == "rate limited"
        await trio.sleep(0.2)
        await found.deliver(to(A))


class Flat(FakeChannel):
    """A channel without threads."""

    @property
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities, threads=False)


async def test_a_channel_without_threads_gets_the_address_of_the_chat() -> None:
    channel = Flat()
    thread = evolve(A, thread_id="t")
    async with senders(channel) as (found, _):
        await found.hint(thread, Typing(thread))
        await found.draft(thread, "so far", lambda: True)
        await found.deliver(Outgoing("out-1", thread, TextContent("hello")))
    assert [each.address for each in channel.sent] == [A]
    assert channel.typing_in == [A]
    assert channel.drafts == [(A, "so far")]


class Limited(FakeChannel):
    """A channel whose network asks for patience about a chat."""

    async def deliver(self, outgoing: Outgoing) -> Receipt:  # noqa: ARG002 -- as the protocol has it
        await trio.lowlevel.checkpoint()
        raise ChannelUnavailable("slow down", 7.0, condition="rate limited")


async def test_the_condition_of_a_channel_is_kept() -> None:
    async with senders(Limited()) as (found, _):
        with pytest.raises(ChannelUnavailable, match="slow down") as raised:
            await found.deliver(to(A))
    assert (raised.value.condition, raised.value.retry_after) == ("rate limited", 7.0)


async def test_an_attempt_that_a_dying_channel_cuts_short_is_of_unknown_outcome() -> None:
    channel = FakeChannel()
    channel.fail("hang", times=inf)
    async with senders(channel) as (found, supervisor), trio.open_nursery() as nursery:

        async def cut_short() -> None:
            with pytest.raises(OutcomeUnknown):
                await found.deliver(to(A))

        async def never_begun() -> None:
            with pytest.raises(ChannelUnavailable):
                await found.deliver(to(A, "out-2"))

        nursery.start_soon(cut_short)
        await channel.wait_attempts(1)
        nursery.start_soon(never_begun)
        await wait_all_tasks_blocked()
        supervisor.kill("fake")
    assert [one.message_out_id for one in channel.attempts] == ["out-1"]


async def test_leaving_finishes_the_delivery_in_flight() -> None:
    channel = FakeChannel()
    channel.fail("hang")
    async with trio.open_nursery() as nursery:
        async with senders(channel) as (found, _):
            nursery.start_soon(found.deliver, to(A))
            await channel.wait_attempts(1)

            async def heal_later() -> None:
                await trio.sleep(5)
                channel.heal()

            nursery.start_soon(heal_later)
        assert channel.sent == [to(A)]


# -- hints ---------------------------------------------------------------------


async def test_hints_arrive_and_are_lost_where_there_is_no_channel() -> None:
    channel = FakeChannel()
    async with senders(channel) as (found, _):
        await found.hint(A, Typing(A))
        await found.hint(A, Settled(A, "1", "completed"))
        await found.hint(Address("tg", "a"), Typing(A))
        assert await channel.wait_settled("1") == "completed"
        assert channel.typing_in == [A]


async def test_a_hint_that_hangs_delays_a_message_by_seconds_only() -> None:
    channel = FakeChannel()
    channel.hints_hang = True
    async with senders(channel) as (found, _):
        start = trio.current_time()
        await found.hint(A, Typing(A))
        await found.deliver(to(A))
        assert trio.current_time() - start <= HINT_TIMEOUT_S


# -- drafts --------------------------------------------------------------------


def always() -> bool:
    return True


async def test_a_draft_reaches_the_channel_before_the_call_returns() -> None:
    channel = FakeChannel()
    async with senders(channel) as (found, _):
        await found.draft(A, "so far", always)
        assert channel.drafts == [(A, "so far")]


async def test_a_channel_without_drafts_and_a_missing_one_get_none() -> None:
    channel = PlainChannel()
    async with senders(channel) as (found, _):
        await found.draft(A, "so far", always)
        await found.draft(Address("tg", "a"), "so far", always)
    assert channel.drafts == []


async def test_a_draft_that_is_out_of_date_is_dropped() -> None:
    channel = FakeChannel()
    async with senders(channel) as (found, _):
        await found.draft(A, "so far", lambda: False)
    assert channel.drafts == []


async def test_a_draft_is_dropped_while_a_message_to_its_chat_is_delivered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    channel = FakeChannel()
    channel.fail("hang")
    async with senders(channel) as (found, _), trio.open_nursery() as nursery:
        nursery.start_soon(found.deliver, to(A))
        await wait_all_tasks_blocked()
        await found.draft(A, "of the same chat", always)
        await found.draft(B, "of another chat", always)
        nursery.cancel_scope.cancel()
    assert channel.drafts == [(B, "of another chat")]


async def test_a_draft_that_hangs_delays_the_next_message_only_briefly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    channel = FakeChannel()
    channel.hints_hang = True
    async with senders(channel) as (found, _), trio.open_nursery() as nursery:
        nursery.start_soon(found.draft, A, "so far", always)
        await wait_all_tasks_blocked()
        begun = trio.current_time()
        await found.deliver(to(A))
        assert trio.current_time() - begun == pytest.approx(DRAFT_TIMEOUT_S)
