"""A channel that does not work is a state in the host's report, with the reason and since when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from random import Random
from typing import Self

import trio
from attrs import Factory, define

from actors import Policy
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.senders import open_senders
from nanoclaw.channels.simple import SimpleChannel
from nanoclaw.records import Address, Outgoing, Receipt, TextContent
from nanoclaw.records.status import ChannelReport
from nanoclaw.system.supervision import Supervision
from nanoclaw.testing import World


@define(eq=False)
class Moody(SimpleChannel):
    """A channel that is told what is wrong with it."""

    channel_type: str = "moody"
    trouble: ChannelUnavailable | None = None
    """Raised while it connects."""
    refusal: ChannelUnavailable | None = None
    """Raised by deliveries."""
    sent: list[Outgoing] = Factory(list)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Self]:
        if self.trouble is not None:
            raise self.trouble
        yield self

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(outgoing)
        return Receipt(None)


async def report(world: World) -> ChannelReport:
    return next(each for each in (await world.host.status()).channels if each.name == "moody")


async def test_a_refused_secret_is_shown_with_its_reason_until_it_is_right(world: World) -> None:
    moody = Moody(trouble=ChannelUnavailable("the network refuses the token", condition="unauthorized"))
    world.channels = [moody]
    await world.start()
    began = world.now
    await world.sleep(600)
    found = await report(world)
    assert (found.condition, found.reason) == ("unauthorized", "the network refuses the token")
    assert found.since is not None
    assert found.since - began < timedelta(seconds=60)
    moody.trouble = None
    await world.sleep(300)
    found = await report(world)
    assert (found.condition, found.reason, found.sender) == (None, None, "running")


async def test_a_channel_that_works_has_no_condition(world: World) -> None:
    world.channels = [Moody()]
    await world.start()
    await world.sleep(1)
    assert (await report(world)).condition is None


async def test_a_network_that_asks_for_patience_is_shown_until_it_takes_messages_again() -> None:
    limited = ChannelUnavailable("flood control", retry_after=30, condition="rate limited")
    moody, supervision = Moody(refusal=limited), Supervision(Random(1))
    text = Outgoing("out-1", Address("moody", "chat"), TextContent("hello"))
    async with (
        supervision.open("host", under=None, policy=Policy()) as root,
        open_senders({"moody": moody}, supervision, under=root) as senders,
    ):
        for refusal, shown in ((limited, "rate limited"), (None, None)):
            moody.refusal = refusal
            with suppress(ChannelUnavailable):
                await senders.deliver(text)
            found = senders.conditions.of("moody", sender_runs=True, receiver_runs=True)
            assert (found and found.condition) == shown


async def test_the_deliveries_that_wait_for_a_channel_are_counted(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    world.channel.fail("unavailable", times=3)
    await ann.says("hello")
    await world.sleep(1)
    [channel] = (await world.host.status()).channels
    assert channel.waiting == 1
    await chat.expect("echo: hello")
    [channel] = (await world.host.status()).channels
    assert channel.waiting == 0
