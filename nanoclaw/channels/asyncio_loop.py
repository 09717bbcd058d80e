"""The bridge to SDKs on asyncio: one event loop for the connection of one channel.

Nothing of asyncio passes this module: a channel calls its SDK with `AsyncioLoop.run`, and gives it callbacks
made with `AsyncioLoop.callback`. Open a loop inside the channel's `sender()`: it is closed with it.
Any task of trio may use it, such as those that deliver to chats.

- An error that the SDK leaves in a task of its own ends the connection, so the host opens it again.
- The exit cancels the SDK's tasks. A task that ignores this for `END_S` is abandoned.
- It works under trio's virtual clock: asyncio's time is trio's. But trio's autojump clock does not wait for
  sockets, so tests of an SDK that talks to a server need the real clock.

Importing trio-asyncio replaces `asyncio.new_event_loop` in the whole process, so it is imported at the first
use. It supports Python up to 3.13.
"""

import asyncio  # noqa: TID251 -- this is the bridge
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar

import structlog
import trio
from attrs import frozen

from nanoclaw.channels.protocol import ChannelUnavailable

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_S = 1.0
"""Time limit in seconds of closing an SDK. After it the loop is closed all the same."""
END_S = 0.5
"""Seconds in which a cancelled task of the SDK must end."""
AGAIN_S = 0.05
MOST_THREADS = 32
"""Limit of threads in which the SDK of one connection waits for something that blocks."""
NEWEST = (3, 13)

_log = structlog.get_logger()


class SdkCancelled(Exception):
    """The SDK cancelled a call by itself, for example because it closed its connection."""


@frozen
class AsyncioLoop:
    """An event loop of asyncio that runs inside trio while its context is open."""

    _loop: Any
    _context: Context
    """A context in which the loop is the current one. The tasks that deliver to chats have another one."""

    async def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an async function of asyncio from trio. Cancelling the call cancels the asyncio task.

        Raises:
            ChannelUnavailable: the connection is closed.
            SdkCancelled: the SDK cancelled the call.
        """
        if self._loop.is_closed():
            raise ChannelUnavailable("the connection is closed")
        done = trio.Event()
        task = self._loop.create_task(_called(function, *args, **kwargs), context=self._context.copy())
        task.add_done_callback(lambda _: done.set())
        try:
            await done.wait()
        except trio.Cancelled:
            await _cancelled(task, done)
            raise
        result: T = _result(task)
        return result

    def callback(self, function: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]:
        """Return a trio function as one that asyncio can await."""
        from trio_asyncio import trio_as_aio  # noqa: PLC0415 -- see the module

        wrapped: Any = trio_as_aio(function, loop=self._loop)
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

    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_on_error)
        loop.set_default_executor(_executor())
        try:
            yield AsyncioLoop(loop, copy_context())
        finally:
            with trio.CancelScope(shield=True):
                await _end_tasks(loop)


def _executor() -> Any:
    """Return what runs the SDK's blocking functions, such as look-ups of names, in threads.

    The exit does not wait for them: a look-up may take a minute, and its thread ends by itself.
    """
    import trio_asyncio  # noqa: PLC0415 -- see the module

    class Abandoning(trio_asyncio.TrioExecutor):  # type: ignore[misc]  # it has no types
        async def submit(self, func: Callable[..., T], *args: Any) -> T:
            limiter = self._limiter
            return await trio.to_thread.run_sync(func, *args, abandon_on_cancel=True, limiter=limiter)

    return Abandoning(limiter=trio.CapacityLimiter(MOST_THREADS))


async def _called(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a task of asyncio. Some look for their loop when they are called."""
    return await function(*args, **kwargs)


def _result(task: "asyncio.Task[T]") -> T:
    try:
        return task.result()
    except asyncio.CancelledError as error:
        raise SdkCancelled("the SDK cancelled the call") from error


async def _cancelled(task: "asyncio.Task[Any]", done: trio.Event) -> None:
    """Cancel a task, and wait for its end for at most `END_S`."""
    task.cancel()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + END_S):
        await done.wait()
        if not task.cancelled():
            task.exception()  # it counts as seen


async def _end_tasks(loop: Any) -> None:
    """Cancel all tasks until they have ended. Abandon those that are left after `END_S`."""
    with trio.move_on_after(END_S):
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            await trio.sleep(AGAIN_S)
    for task in asyncio.all_tasks(loop):
        _log.warning("channel.sdk_task_abandoned", task=task.get_name(), at=str(task.get_coro())[:200])
        asyncio._unregister_task(task)  # type: ignore[attr-defined, unused-ignore]  # noqa: SLF001 -- else trio-asyncio waits for it


def _on_error(loop: Any, context: dict[str, Any]) -> None:
    """Log a complaint of asyncio. End the connection if the SDK left an error in a task."""
    error = context.get("exception")
    _log.warning("channel.sdk_complained", reason=str(context.get("message"))[:500], exc_info=error)
    if error is not None and loop._nursery is not None:  # noqa: SLF001 -- trio-asyncio's own handler does so
        loop._nursery.start_soon(_raise, error)  # noqa: SLF001 -- likewise


async def _raise(error: BaseException) -> None:
    await trio.lowlevel.checkpoint()
    raise error
