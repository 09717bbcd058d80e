"""The bridge to SDKs on asyncio: one event loop for the connection of one channel.

Nothing of asyncio passes this module: a channel calls its SDK with `AsyncioLoop.run`, and gives it callbacks
made with `AsyncioLoop.callback`. Open a loop inside the channel's `sender()`: it is closed with the connection.

Importing trio-asyncio replaces `asyncio.new_event_loop` in the whole process, so it is imported at the first
use. It supports Python up to 3.13.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import trio
from attrs import frozen

from nanoclaw.channels.protocol import ChannelUnavailable

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_S = 1.0
"""Time limit in seconds of closing an SDK. After it the loop is closed all the same."""
NEWEST = (3, 13)


@frozen
class AsyncioLoop:
    """An event loop of asyncio that runs inside trio while its context is open."""

    async def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an async function of asyncio from trio. Cancelling the call cancels the asyncio task."""
        from trio_asyncio import aio_as_trio  # noqa: PLC0415 -- see the module

        result: T = await aio_as_trio(function)(*args, **kwargs)
        return result

    def callback(self, function: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]:
        """Return a trio function as one that asyncio can await."""
        from trio_asyncio import trio_as_aio  # noqa: PLC0415 -- see the module

        wrapped: Any = trio_as_aio(function)
        called: Callable[P, Awaitable[T]] = wrapped
        return called

    async def close(self, function: Callable[[], Awaitable[object]], /) -> None:
        """Call the SDK's function that closes its connection, for at most `CLOSE_S`, also when cancelled."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            await self.run(function)


@asynccontextmanager
async def open_asyncio_loop() -> AsyncIterator[AsyncioLoop]:
    """Open a loop for one connection. The exit cancels the tasks that are left.

    Raises:
        ChannelUnavailable: this version of Python has no trio-asyncio.
    """
    if sys.version_info[:2] > NEWEST:
        raise ChannelUnavailable("this channel needs Python 3.13 or older, because trio-asyncio does")
    import trio_asyncio  # noqa: PLC0415 -- see the module

    async with trio_asyncio.open_loop():
        yield AsyncioLoop()
