"""The receivers: one actor per channel takes its events and offers them to the intake."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from attrs import frozen

from actors import Bury, Context, Policy, Supervisor
from nanoclaw.channels.protocol import Channel
from nanoclaw.records import Intake
from nanoclaw.system.supervision import Supervision

RETRY_BURIED_S = 120.0


@frozen
class Receiver:
    """Runs the receiving half of one channel. It takes no actor messages."""


def _recipe(
    channel: Channel, intake: Intake
) -> Callable[[Context[Receiver]], AbstractAsyncContextManager[Receiver]]:
    @asynccontextmanager
    async def recipe(_context: Context[Receiver]) -> AsyncIterator[Receiver]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive, intake)
            yield Receiver()
            nursery.cancel_scope.cancel()

    return recipe


@asynccontextmanager
async def open_receivers(
    channels: Mapping[str, Channel], intake: Intake, supervision: Supervision, *, under: Supervisor
) -> AsyncIterator[None]:
    """Receive on all channels while the context is open. The exit closes the intakes."""
    policy = Policy(give_up=Bury(RETRY_BURIED_S))
    async with supervision.open("receivers", under=under, policy=policy) as receivers:
        for name, channel in channels.items():
            receivers.start(name, _recipe(channel, intake))
        yield
