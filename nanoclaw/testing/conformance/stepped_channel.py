"""A channel under test whose calls are steps. Their errors are ungrouped, as the host does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ParamSpec, TypeVar, cast

import trio
from attrs import Factory, define, evolve, frozen

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Sender
from nanoclaw.channels.wrapper import ChannelWrapper
from nanoclaw.records import Intake
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing.conformance.networks import ChannelUnderTest
from nanoclaw.testing.conformance.steps import step, step_context, stepped

P = ParamSpec("P")
T = TypeVar("T")

CONFIRMED_S = 30.0
"""Seconds within which a network learns that its message arrived. An event may be offered again meanwhile."""
_METHODS = frozenset({"deliver", "find", "typing", "settled", "draft", "open_dm"})


def in_steps(it: ChannelUnderTest) -> ChannelUnderTest:
    """Return the same channel and hooks. Each call that waits is a step."""
    thread = it.thread and evolve(it.thread, says=_hook("thread.says", it.thread.says))
    return evolve(
        it,
        channel=SteppedChannel(it.channel),
        says=_hook("says", it.says),
        presses=_hook("presses", it.presses),
        sends=_hook("sends", it.sends),
        edits=_hook("edits", it.edits),
        deletes=_hook("deletes", it.deletes),
        reacts=_hook("reacts", it.reacts),
        renames=_hook("renames", it.renames),
        joins=_hook("joins", it.joins),
        leaves=_hook("leaves", it.leaves),
        sends_large=_hook("sends_large", it.sends_large),
        thread=thread,
    )


def _hook(name: str, given: Callable[P, Awaitable[T]] | None) -> Callable[P, Awaitable[T]] | None:
    doing = f"the hook `{name}` to return: the network learns that the host has the event"
    return given and stepped(doing, given, CONFIRMED_S)


@define(eq=False)
class Connections:
    """The number of senders of a channel that are open."""

    open: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a sender as open while the context is."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


@frozen
class SteppedChannel(ChannelWrapper):
    """A channel whose sender opens, works and closes in steps."""

    connections: Connections = Factory(Connections)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Open the sender of the channel under test."""
        async with step_context("the channel's sender", self.channel.sender()) as sender:
            with self.connections.counted():
                yield cast("Sender", _SteppedSender(sender))

    async def receive(self, intake: Intake) -> None:
        """Receive with the channel under test."""
        await self.channel.receive(intake)


@frozen
class _SteppedSender:
    """A sender whose calls are steps. It has the methods that the sender has."""

    _sender: Sender

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sender, name)
        return _call(name, found) if name in _METHODS else found


def _call(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(*arguments: object) -> Any:
        with (
            step(f"{name}() of the channel's sender"),
            ungrouped(DeliveryRejected, ChannelUnavailable, trio.TooSlowError, Exception),
        ):
            return await method(*arguments)

    return call
