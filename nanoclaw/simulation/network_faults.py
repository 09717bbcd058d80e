"""Faults of the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, get_args

import trio
from attrs import evolve

from nanoclaw.records import BadEvent, Event
from nanoclaw.simulation.fault_injector import HALF, FaultInjector
from nanoclaw.simulation.faults import Strike
from nanoclaw.simulation.network import CodeFault, NoException
from nanoclaw.testing.world.channel import Fault, NetworkBroke


async def channel_fails(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let the network be down, reject a message, or break before or after it has one."""
    faults: tuple[Fault, ...] = ("unavailable", "unavailable", "rejected", "crash before", "crash after")
    fault = random.choice(faults)
    times = random.randrange(1, 8) if fault == "unavailable" else random.randrange(1, 3)
    injector.struck(strike, fault, times)
    injector.network.fail(fault, times=times)
    await trio.lowlevel.checkpoint()


async def channel_errs(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let the code of the channel fail, alone or in groups, or forget its receipts."""
    fault = random.choice(get_args(CodeFault))
    times = random.randrange(1, 8)
    injector.struck(strike, fault, times)
    injector.network.code_faults += [fault] * times
    await trio.lowlevel.checkpoint()


async def hints_raise(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let `typing`, `settled` and `draft` raise for a while."""
    error = random.choice((NetworkBroke("no hints"), ExceptionGroup("hints", [ValueError()]), NoException()))
    injector.last(strike, _raising(injector, error), random.uniform(30.0, 900.0), type(error).__name__)
    await trio.lowlevel.checkpoint()


@contextmanager
def _raising(injector: FaultInjector, error: BaseException) -> Iterator[None]:
    injector.network.hints_raise = error
    try:
        yield
    finally:
        injector.network.hints_raise = None


async def channel_times_out(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let the network take messages without a receipt."""
    injector.network.silent += random.randrange(1, 3)
    injector.struck(strike)
    await trio.lowlevel.checkpoint()


async def channel_late(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let messages arrive after the host has given up waiting for the receipt."""
    injector.network.late += random.randrange(1, 3)
    injector.last(strike, _late(injector), random.uniform(70.0, 300.0))
    await trio.lowlevel.checkpoint()


@contextmanager
def _late(injector: FaultInjector) -> Iterator[None]:
    try:
        yield
    finally:
        injector.network.late = 0
        injector.network.arrive()


async def channel_duplicates(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Offer the next events twice at once, and an old event again."""
    injector.network.twice += random.randrange(1, 4)
    injector.struck(strike)
    if injector.network.accepted:
        old = random.choice(injector.network.accepted).event
        injector.nursery.start_soon(injector.network.offer, old)
    await trio.lowlevel.checkpoint()


async def channel_reorders(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Offer events of different chats in another order."""
    injector.last(strike, injector.network.reordering(random), random.uniform(30.0, 900.0))
    await trio.lowlevel.checkpoint()


async def channel_limits(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let the network ask for pauses."""
    injector.network.retry_after += [random.uniform(0.0, 200.0) for _ in range(random.randrange(1, 5))]
    injector.struck(strike, len(injector.network.retry_after))
    await trio.lowlevel.checkpoint()


async def channel_hangs(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let the network hang for a while."""
    injector.network.hints_hang = random.random() < HALF
    injector.network.fail("hang", times=random.randrange(1, 4))
    injector.last(strike, _hanging(injector), random.uniform(10.0, 600.0))
    await trio.lowlevel.checkpoint()


@contextmanager
def _hanging(injector: FaultInjector) -> Iterator[None]:
    try:
        yield
    finally:
        injector.network.heal()


async def channel_garbles(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Offer an old event again with a value of the wrong type or shape. The host must refuse it."""
    if injector.network.accepted:
        event: Any = random.choice(injector.network.accepted).event
        bad = random.choice(
            (
                evolve(event, event_id=7),
                evolve(event, address=evolve(event.address, thread_id=7)),
                evolve(event, message=evolve(event.message, sender_id=7)),
                evolve(event, message=evolve(event.message, sender_id="nobody")),
                evolve(event, message=evolve(event.message, text=None)),
                evolve(event, message=evolve(event.message, attachments=({"type": "file"},))),
            )
        )
        injector.struck(strike)
        injector.nursery.start_soon(_offer_bad, injector, bad)
    await trio.lowlevel.checkpoint()


async def _offer_bad(injector: FaultInjector, event: Event) -> None:
    try:
        routed = await injector.network.offer(event)
        raise AssertionError(f"the host took {event!r:.300}: {routed}")
    except* BadEvent:  # two of them, if the network offers the event twice
        pass


async def channel_disconnects(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Break the sender, the receiver or both. The network may stay unreachable for a while."""
    which = random.choice(("sender", "receiver", "both"))
    injector.network.unreachable = random.choice((0, 0, 1, 3, 12)) if which != "receiver" else 0
    injector.struck(strike, which, injector.network.unreachable)
    if which != "receiver":
        injector.network.disconnect()
    if which != "sender":
        injector.network.crash_receiver()
    await trio.lowlevel.checkpoint()
