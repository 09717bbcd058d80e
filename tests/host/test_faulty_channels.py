"""Channels whose code fails: each error ends with its message or hint, and the next message comes at once."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
import trio
from attrs import define, field
from structlog.testing import LogCapture

from nanoclaw.channels import chat_sender as module
from nanoclaw.channels.chat_sender import OutcomeUnknown, Settled, Typing
from nanoclaw.channels.protocol import (
    Capabilities,
    ChannelUnavailable,
    DeliveryRejected,
    DraftingSender,
    Outcome,
    Repeat,
    Sender,
)
from nanoclaw.host import HostFailed, open_host
from nanoclaw.records import Address, Intake, Outgoing, Receipt
from nanoclaw.system.foreign import ForeignError
from nanoclaw.testing import FakeChannel, World
from tests.host.homes import config
from tests.host.test_foreign_code import CANCELLED, Unreadable
from tests.host.test_senders import A, senders, to


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """Return what the senders log from now on."""
    capture = LogCapture()
    monkeypatch.setattr(
        module,
        "_log",
        structlog.wrap_logger(
            None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
        ),
    )
    return capture


def named(log: LogCapture, event: str, level: str = "warning") -> list[Any]:
    return [entry for entry in log.entries if (entry["event"], entry["log_level"]) == (event, level)]


@define(eq=False)
class Faulty(FakeChannel):
    """A channel whose methods do what a test says."""

    repeat: Repeat = "again"
    delivering: Callable[[Outgoing], Awaitable[Any]] | None = field(default=None, kw_only=True)
    finding: Callable[[Outgoing], Awaitable[Any]] | None = field(default=None, kw_only=True)
    hinting: Callable[[], Awaitable[None]] | None = field(default=None, kw_only=True)
    asked: int = field(default=0, init=False)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        async with super().sender() as sender:
            yield FaultySender(self, sender)

    async def keep(self, outgoing: Outgoing) -> Receipt:
        """Deliver as a good channel does."""
        return await super().deliver(outgoing)


@define(eq=False)
class FaultySender:
    channel: Faulty
    sender: Sender

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        self.channel.asked += 1
        if self.channel.delivering is None:
            return await self.sender.deliver(outgoing)
        return await self.channel.delivering(outgoing)  # type: ignore[no-any-return]

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        if self.channel.finding is None:
            return await self.sender.find(outgoing)
        return await self.channel.finding(outgoing)  # type: ignore[no-any-return]

    async def typing(self, address: Address) -> None:
        if self.channel.hinting is not None:
            await self.channel.hinting()
        await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        if self.channel.hinting is not None:
            await self.channel.hinting()
        await self.sender.settled(address, platform_message_id, outcome)

    async def draft(self, address: Address, text: str) -> None:
        if self.channel.hinting is not None:
            await self.channel.hinting()
        await cast("DraftingSender", self.sender).draft(address, text)


def raising(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def raises(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return raises


def in_a_nursery(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def raises(*_: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error

    return raises


class NoDelay(ChannelUnavailable):
    """An error whose author forgot the constructor of its base class."""

    def __init__(self) -> None:
        Exception.__init__(self, "busy")


class UnreadableRejection(DeliveryRejected):
    __str__ = Unreadable.__str__
    __repr__ = Unreadable.__str__


ERRORS = [
    ValueError("x"),
    Unreadable(),
    asyncio.CancelledError(),
    CANCELLED,
    BaseExceptionGroup("a", [CANCELLED]),
    ExceptionGroup("a", [DeliveryRejected("no"), ValueError("x")]),
    trio.TooSlowError(),
    ExceptionGroup("a", [trio.TooSlowError()]),
]


# -- delivering --------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_any_error_is_of_unknown_outcome_and_the_next_message_comes_at_once(
    error: BaseException,
) -> None:
    channel = Faulty(delivering=raising(error))
    async with senders(channel) as (found, supervisor):
        for n in range(5):
            with pytest.raises(OutcomeUnknown):
                await found.deliver(to(A, f"bad-{n}"))
        channel.delivering = None
        start = trio.current_time()
        await found.deliver(to(A, "good"))
        assert trio.current_time() == start
        [chat] = next(iter(supervisor._nested)).tree().children
        assert (chat.restarts, chat.last_crash) == (0, None)


@pytest.mark.parametrize("make", [raising, in_a_nursery])
async def test_a_refusal_counts_also_in_a_group(make: Callable[..., Any]) -> None:
    channel = Faulty(delivering=make(ChannelUnavailable("429", retry_after=15)))
    async with senders(channel) as (found, _):
        with pytest.raises(ChannelUnavailable, match="429") as raised:
            await found.deliver(to(A))
        assert raised.value.retry_after == 15
        channel.delivering = make(DeliveryRejected("too long"))
        with pytest.raises(DeliveryRejected, match="too long"):
            await found.deliver(to(A))


async def test_a_refusal_that_cannot_be_read_counts_all_the_same() -> None:
    channel = Faulty(delivering=raising(NoDelay()))
    async with senders(channel) as (found, _):
        with pytest.raises(ChannelUnavailable, match="busy") as raised:
            await found.deliver(to(A))
        assert raised.value.retry_after is None
        channel.delivering = raising(UnreadableRejection())
        with pytest.raises(DeliveryRejected, match="UnreadableRejection without a readable text"):
            await found.deliver(to(A))


@pytest.mark.parametrize("make", [raising, in_a_nursery])
async def test_a_lookup_is_refused_also_in_a_group(make: Callable[..., Any]) -> None:
    channel = Faulty(repeat="look up", finding=make(ChannelUnavailable("429", retry_after=15)))
    async with senders(channel) as (found, _):
        with pytest.raises(ChannelUnavailable, match="429"):
            await found.deliver(to(A), doubtful=True)
        channel.finding = make(ValueError("x"))
        with pytest.raises(OutcomeUnknown, match="ValueError"):
            await found.deliver(to(A), doubtful=True)
        assert channel.asked == 0


@pytest.mark.parametrize("returned", [None, True, "m-1", object(), Receipt(["m-1"])])  # type: ignore[arg-type]
async def test_a_delivery_without_a_receipt_has_succeeded_and_is_reported_once(
    returned: object, log: LogCapture
) -> None:
    async def delivers(_outgoing: Outgoing) -> object:
        await trio.lowlevel.checkpoint()
        return returned

    async with senders(Faulty(delivering=delivers)) as (found, _):
        for n in range(3):
            assert await found.deliver(to(A, f"out-{n}")) == Receipt(None)
    [entry] = named(log, "channel.no_receipt")
    assert (entry["channel"], entry["method"]) == ("fake", "deliver")
    assert "return a Receipt" in entry["reason"]


async def test_a_number_in_a_receipt_is_the_id() -> None:
    async def delivers(_outgoing: Outgoing) -> Receipt:
        await trio.lowlevel.checkpoint()
        return Receipt(4711)  # type: ignore[arg-type]

    async with senders(Faulty(delivering=delivers)) as (found, _):
        assert await found.deliver(to(A)) == Receipt("4711")


async def test_a_method_that_is_not_async_has_sent_once() -> None:
    channel = Plain()
    async with senders(channel) as (found, _):
        assert await found.deliver(to(A)) == Receipt("m-1")
    assert channel.asked == 1


@define(eq=False)
class Plain(FakeChannel):
    """A channel that needs no connection, and whose `deliver` is not async."""

    asked: int = field(default=0, init=False)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Any]:
        yield self

    def deliver(self, outgoing: Outgoing) -> Any:
        del outgoing
        self.asked += 1
        return Receipt("m-1")


# -- hints --------------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_hint_that_raises_is_lost_and_delays_nothing(error: BaseException, log: LogCapture) -> None:
    channel = Faulty(hinting=raising(error))
    async with senders(channel) as (found, supervisor):
        start = trio.current_time()
        for n in range(5):
            await found.hint(A, Typing(A))
            await found.hint(A, Settled(A, f"m-{n}", "completed"))
            await found.draft(A, "so far", lambda: True)
            await found.deliver(to(A, f"out-{n}"))
        assert trio.current_time() == start
        [chat] = next(iter(supervisor._nested)).tree().children
        assert (chat.restarts, chat.last_crash) == (0, None)
    assert {entry["method"] for entry in named(log, "channel.hint_failed")} == {"typing", "settled", "draft"}
    assert len(named(log, "channel.hint_failed")) == 3


# -- connecting and receiving ----------------------------------------------------------


@define(eq=False)
class Unconnected(FakeChannel):
    """A channel whose sender fails at one end, or whose receiver fails again and again."""

    opening: BaseException | None = field(default=None, kw_only=True)
    closing: BaseException | None = field(default=None, kw_only=True)
    receiving: BaseException | None = field(default=None, kw_only=True)
    times: float = field(default=0, kw_only=True)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        if self.opening is not None:
            self.times -= 1
            error, self.opening = self.opening, self.opening if self.times > 0 else None
            raise error
        async with super().sender() as sender:
            yield sender
        if self.closing is not None:
            raise self.closing

    async def receive(self, intake: Intake) -> None:
        if self.receiving is not None and self.times > 0:
            self.times -= 1
            raise self.receiving
        await super().receive(intake)


CONNECTION_ERRORS = [OSError("reset"), Unreadable(), asyncio.CancelledError(), CANCELLED, NoDelay()]


@pytest.mark.parametrize("error", CONNECTION_ERRORS, ids=lambda error: type(error).__name__)
async def test_a_sender_that_fails_to_open_is_opened_again(error: BaseException) -> None:
    channel = Unconnected(opening=error, times=2)
    async with senders(channel) as (found, supervisor):
        await found.deliver(to(A))
        assert supervisor.tree().children[0].last_crash is not None


@pytest.mark.parametrize("error", CONNECTION_ERRORS, ids=lambda error: type(error).__name__)
async def test_a_sender_that_fails_to_close_stops_all_the_same(error: BaseException) -> None:
    async with senders(Unconnected(closing=error)) as (found, _):
        await found.deliver(to(A))


@pytest.mark.parametrize("error", CONNECTION_ERRORS, ids=lambda error: type(error).__name__)
async def test_a_receiver_that_fails_five_times_hears_the_next_message_within_seconds(
    error: BaseException,
) -> None:
    channel = Unconnected("net", receiving=error, times=5)
    async with a_world(channel):
        start = trio.current_time()
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        assert trio.current_time() - start < 6


async def test_a_receiver_is_never_given_up_for_long() -> None:
    channel = Unconnected("net", receiving=OSError("reset"), times=inf)
    async with a_world(channel) as world:
        await world.sleep(hours=1)
        channel.times, start = 0, trio.current_time()
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        assert trio.current_time() - start < 40


# -- a whole host -----------------------------------------------------------------------


class NoCapabilities(FakeChannel):
    @property
    def capabilities(self) -> Capabilities:
        raise ValueError("not yet")


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        (NoCapabilities(), "must be readable, got ValueError('not yet')"),
        (object(), "its channel_type must be a text, got None"),
        (FakeChannel(repeat="perhaps"), "its repeat must be one of idempotent, look up, again, never"),  # type: ignore[arg-type]
    ],
)
async def test_a_channel_that_cannot_be_used_is_refused_at_the_start(
    channel: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(HostFailed, match=re.escape(words)):
        async with open_host(config(tmp_path), channels=[channel]):
            pass


@asynccontextmanager
async def a_world(channel: FakeChannel) -> AsyncIterator[World]:
    async with World(channels=[channel]) as world:
        await world.start()
        await world.host.admin.wirings.connect(channel.address(), "main", policy="public")
        yield world


async def test_a_pause_that_is_asked_for_in_a_group_is_made() -> None:
    asked = list[float]()

    async def delivers(outgoing: Outgoing) -> Receipt:
        asked.append(trio.current_time())
        if len(asked) > 2:
            return await channel.keep(outgoing)
        async with trio.open_nursery():
            raise ChannelUnavailable("429", retry_after=15)

    channel = Faulty("net", delivering=delivers)
    async with a_world(channel):
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
    assert [round(at - asked[0]) for at in asked] == [0, 15, 30]


async def test_five_bad_messages_in_a_row_hold_up_the_next_one_for_their_repeats_only() -> None:
    bad = raising(ValueError("x"))
    channel = Faulty("net", hinting=raising(OSError("no typing")))

    async def delivers(outgoing: Outgoing) -> Receipt:
        return await (bad(outgoing) if "bad" in str(outgoing.content) else channel.keep(outgoing))

    channel.delivering = delivers
    async with a_world(channel) as other:
        for n in range(5):
            await channel.say("bad", event_id=f"bad-{n}")
        start = trio.current_time()
        await channel.say("good", event_id="good")
        await channel.reply_to("good")
        assert trio.current_time() - start < 30
        assert channel.asked == 11
        crashes = [node.last_crash for node in _nodes(other.host.tree())]
        assert set(crashes) == {None}


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def test_a_foreign_error_keeps_what_was_raised() -> None:
    error = ValueError("x")
    assert ForeignError(error).error is error
