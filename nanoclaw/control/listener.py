"""The control actor: owns the socket, admits clients, and serves each in its own task."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog
import trio
from attrs import define, frozen

from actors import Bury, Context, Crashed, Policy, Refusal, Stopped, Supervisor
from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.terminal.terminal import Terminal
from nanoclaw.channels.terminal.visits import ChatRoom, TooSlow
from nanoclaw.config import Config
from nanoclaw.control.address import socket_path
from nanoclaw.control.connection import Connection, Offer
from nanoclaw.control.peers import uid_of_peer
from nanoclaw.control.wire import RequestRefused
from nanoclaw.logs import LogRing, keeping_events
from nanoclaw.operations import Operations
from nanoclaw.records.status import StatusSource
from nanoclaw.runtimes import KeptEvent
from nanoclaw.system.sockets import listening
from nanoclaw.system.supervision import Supervision

MAX_CLIENTS = 64
BACKLOG = 64
RETRY_BURIED_S = 120.0
FAREWELL_S = 1.0
"""Seconds that a rejected client has to read the reason."""

_log = structlog.get_logger()


class ControlUnavailable(Refusal):
    """The socket cannot be created; the host runs on without it."""


@frozen
class Control:
    """The parts that the control socket offers besides the host's state."""

    chat: ChatRoom | None = None
    """The terminal's chat, for `nanoclaw chat`."""
    logs: LogRing | None = None
    """The log events for `nanoclaw logs`, which structlog's processor `logs.add` keeps."""
    reread: Callable[[], Config] | None = None
    """Reads the configuration again, so that channels can be added while the host runs. Blocking."""


@asynccontextmanager
async def default_control(channels: Iterable[Channel]) -> AsyncIterator[Control]:
    """Yield what a host offers by default: the terminal among its channels, and the process's log events."""
    chat = next((each for each in channels if isinstance(each, Terminal)), None)
    with keeping_events() as ring:
        yield Control(chat, ring)


@define(eq=False)
class ControlSocket:
    """Serves the clients of one socket; it takes no messages."""

    offer: Offer
    users: frozenset[int]
    """Users whose processes may connect."""
    _clients: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one client. An error of this client closes only its own connection."""
        self._clients += 1
        try:
            async with stream:
                await self._serve(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except* (trio.TooSlowError, TooSlow):
            _log.warning("control.client_cut_off", reason="it does not read what is sent to it")
        finally:
            self._clients -= 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        refusal = self._refusal(stream)
        if refusal is not None:
            with trio.move_on_after(FAREWELL_S):
                await stream.send_all(refusal.dump())
            return
        with ExitStack() as visits:
            async with trio.open_nursery() as nursery:
                await Connection(stream, self.offer, nursery, visits).serve()
                nursery.cancel_scope.cancel()

    def _refusal(self, stream: trio.SocketStream) -> RequestRefused | None:
        try:
            uid = uid_of_peer(stream.socket)
        except OSError as error:
            return RequestRefused(None, "forbidden", f"the kernel does not say who you are: {error}")
        if uid not in self.users:
            _log.warning("control.client_refused", uid=uid)
            return RequestRefused(None, "forbidden", f"this host is not that of user {uid}")
        if self._clients > MAX_CLIENTS:
            return RequestRefused(None, "busy", f"{MAX_CLIENTS} clients are connected already")
        return None


def _recipe(
    path: Path, offer: Offer
) -> Callable[[Context[ControlSocket]], AbstractAsyncContextManager[ControlSocket]]:
    @asynccontextmanager
    async def recipe(_context: Context[ControlSocket]) -> AsyncIterator[ControlSocket]:
        control = ControlSocket(offer, frozenset({0, os.geteuid()}))
        with _bound(path) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, control.serve, [listener])
                yield control
                nursery.cancel_scope.cancel()

    return recipe


@contextmanager
def _bound(path: Path) -> Iterator[trio.SocketListener]:
    """Yield a listening socket at `path`, for this user alone; it is removed afterwards."""
    try:
        bound = listening(path, BACKLOG)
    except OSError as error:
        raise ControlUnavailable(f"{path}: the control socket cannot be made: {error}") from error
    with bound:
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(bound))
        finally:
            path.unlink(missing_ok=True)


@asynccontextmanager
async def open_control(  # noqa: PLR0913 -- what is offered, and where
    data: Path,
    control: Control,
    status: StatusSource,
    supervision: Supervision,
    *,
    under: Supervisor,
    operations: Operations | None = None,
    output: Callable[[str], Awaitable[Sequence[KeptEvent]]] | None = None,
) -> AsyncIterator[None]:
    """Listen on the control socket of a data directory that this host owns. Disconnect clients on exit.

    The socket listens once the context is entered. If it cannot be created, that is logged and the host runs
    on.
    """
    policy = Policy(give_up=Bury(RETRY_BURIED_S), fatal=(ControlUnavailable,))
    offer = Offer(status, control.chat, control.logs, operations, output)
    async with supervision.open("control", under=under, policy=policy) as supervisor:
        socket_actor = supervisor.start("socket", _recipe(socket_path(data), offer))
        with suppress(Crashed, Stopped):  # reported already
            await socket_actor.wait_started()
        yield
