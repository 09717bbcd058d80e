"""The real seams: this machine's clock, threads, file events and HTTP. Only `main` binds them."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from math import inf
from pathlib import Path
from time import sleep  # noqa: TID251 -- less than trio can time
from typing import Any, TypeVar, cast

import apsw
import trio
from attrs import define, field, frozen

from agent_runner.background import background
from agent_runner.errors import ProviderError
from agent_runner.providers import HttpClient
from agent_runner.seams import Lane, Wakeups
from agent_runner.sockets.unix import nameable

T = TypeVar("T")
POLL = 0.5
JOURNAL = "-journal"
BRIEF_PAUSES = (0.00005,) * 10 + (0.0002,) * 5
LONGEST_RUN = 0.005
"""Seconds of reads and commits, one after the other, before other tasks run."""


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that all other code asks


def _past_a_sync(call: Callable[[], T]) -> T:
    """Run `call`, and repeat it for up to two or three milliseconds while it meets a lock.

    A commit wakes its readers when it unlinks the journal, and holds its lock until the directory is synced,
    a fraction of a millisecond later. A sleep in trio takes one or two whole milliseconds.
    """
    for pause in BRIEF_PAUSES:
        try:
            return call()
        except apsw.BusyError:
            sleep(pause)
    return call()


@define(eq=False)
class ThreadExecutor:
    """Writes files in a worker thread. A cancelled caller waits for its call.

    Reads and commits run at once. A thread would add a tenth of a millisecond each way, and the runner has
    nothing else to do meanwhile. Other tasks run in between after `LONGEST_RUN`, not at each call.
    """

    _write: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)
    _yielded_at: float = field(default=-inf, init=False)
    """When other tasks could run for the last time, as far as this executor knows."""

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end."""
        if lane != "write":
            await self._be_fair()
            return _past_a_sync(call)
        return await trio.to_thread.run_sync(call, abandon_on_cancel=False, limiter=self._write)

    async def _be_fair(self) -> None:
        if trio.current_time() - self._yielded_at < LONGEST_RUN:
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        await trio.lowlevel.checkpoint()
        self._yielded_at = trio.current_time()

    def before_commit(self, path: Path) -> None:
        """Do nothing. Simulations use this."""

    def after_commit(self, path: Path) -> None:
        """Do nothing. Simulations use this."""


@frozen
class HttpxClients:
    """Clients of httpx2, which is imported when a provider opens one.

    With a socket, all requests of a client go to the model gateway behind it, whatever host they name.
    """

    socket: Path | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[HttpClient]:
        """Open an `httpx2.AsyncClient`. Raises ProviderError if httpx2 or the socket's folder is missing."""
        try:
            httpx2: Any = import_module("httpx2")
        except ImportError as error:
            raise ProviderError("httpx2 is not installed; install it where the runner runs") from error
        with _name_of(self.socket) as name:
            async with httpx2.AsyncClient(**_through(httpx2, name)) as client:
                yield cast("HttpClient", client)


def _through(httpx2: Any, socket: str | None) -> Mapping[str, object]:
    """Return the arguments of a client that asks the gateway; none for an ordinary client.

    The gateway bounds the silence of a model's server, so the client waits for it without a limit.
    """
    if socket is None:
        return {}
    transport = import_module("agent_runner.sockets.gateway").GatewayTransport(socket)
    return {"transport": transport, "trust_env": False, "timeout": httpx2.Timeout(None, connect=10.0)}


@contextmanager
def _name_of(socket: Path | None) -> Iterator[str | None]:
    """Yield a name for a socket that the kernel takes, even if its path is too long. None stays None."""
    if socket is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            name = stack.enter_context(nameable(socket))
        except OSError as error:
            raise ProviderError(f"the gateway's folder {socket.parent} cannot be opened: {error}") from error
        yield name


class PollingWakeups:
    """Wakes every half a second, where the platform offers nothing better."""

    @asynccontextmanager
    async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncGenerator[None]:  # noqa: ARG002 -- the protocol's
        """Poll, ignoring the directory."""
        async with background(lambda: _poll(changed)):
            yield


async def _poll(changed: Callable[[], None]) -> None:
    while True:
        await trio.sleep(POLL)
        changed()


if sys.platform == "linux":
    from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it ships no types

    class InotifyWakeups:
        """File events of the kernel. In DELETE mode, the removal of a journal is the commit."""

        @asynccontextmanager
        async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncGenerator[None]:
            """Watch a directory, or poll where the kernel has no watch left."""
            with _watching(directory) as events:
                async with background(lambda: _follow(events, changed) if events else _poll(changed)):
                    yield

    @contextmanager
    def _watching(directory: Path) -> Iterator[INotify | None]:
        try:
            events = INotify(nonblocking=True)
        except OSError:
            yield None
            return
        with events:
            try:
                events.add_watch(directory, flags.DELETE)
            except OSError:
                yield None
            else:
                yield events

    async def _follow(events: INotify, changed: Callable[[], None]) -> None:
        """Report each run of commits, and that the kernel has lost events."""
        while True:
            await trio.lowlevel.wait_readable(events.fileno())
            if any(_is_commit(event) for event in events.read(timeout=0)):
                changed()

    def _is_commit(event: tuple[int, int, int, str]) -> bool:
        _, mask, _, name = event
        return name.endswith(JOURNAL) or bool(mask & flags.Q_OVERFLOW)

    def wakeups() -> Wakeups:
        """Return the best wake-ups of this platform."""
        return InotifyWakeups()

else:

    def wakeups() -> Wakeups:
        """Return the best wake-ups of this platform."""
        return PollingWakeups()
