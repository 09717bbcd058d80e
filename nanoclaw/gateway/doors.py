"""The gateway actor: owns the sockets of all living runners and serves what comes in.

A runner has a door to its models, and a sandbox another one to the web. Neither leads to the other's.

The list of open doors lives beside the actor. So if the actor crashes, its next incarnation opens them again.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from traceback import format_exception
from typing import Protocol

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import Bury, Context, Crashed, Policy, Ref, Refusal, Stopped, Supervisor
from nanoclaw.gateway.limits import MAX_HELD_BY_ONE, Room
from nanoclaw.gateway.local import LocalDoors
from nanoclaw.gateway.proxy import Caller, Proxy
from nanoclaw.gateway.serving import Connection
from nanoclaw.gateway.upstream import HttpServers, ModelServers
from nanoclaw.gateway.web import WebCaller, WebProxy
from nanoclaw.gateway.web.limits import MOST_OF_ONE
from nanoclaw.gateway.web.serving import BUFFER, WebConnection
from nanoclaw.system.obstacles import Obstacle, kind_of
from nanoclaw.system.sockets import listening
from nanoclaw.system.supervision import Supervision

BACKLOG = 32
MAX_CONNECTIONS = 32
"""Connections of one runner at a time."""
FOLDER_MODE = 0o700
SOCKET_MODE = 0o666
"""The folder protects the socket. In a container, the runner may have another user id."""
RETRY_BURIED_S = 30.0

_log = structlog.get_logger()


class DoorFailed(Refusal):
    """A runner's socket cannot be made. The text says why. `passes`: it may be possible later."""

    def __init__(self, reason: str, *, passes: bool) -> None:
        super().__init__(reason)
        self.passes = passes


Serve = Callable[[trio.SocketStream], Awaitable[None]]


@frozen(eq=False)
class Door:
    """A runner's way to its models, or to the web."""

    path: Path
    session_id: str
    serve: Serve
    """Serves one connection, to its end."""
    most: int
    """Connections at a time."""


@define(eq=False)
class _Open:
    """The socket of an open door, and the scope of its connections."""

    door: Door
    socket: socket.socket
    scope: trio.CancelScope = Factory(trio.CancelScope)
    connections: int = 0

    def close(self) -> None:
        """Close the socket and end its connections, in one step."""
        self.scope.cancel()
        self.door.path.unlink(missing_ok=True)
        self.socket.close()


# -- messages ------------------------------------------------------------------


@frozen(eq=False)
class OpenDoor:
    """Open a door that is in the list."""

    door: Door

    async def handle(self, actor: "DoorKeeper") -> None:
        """Make its socket and listen. Raises DoorFailed."""
        await trio.lowlevel.checkpoint()
        actor.open(self.door)


@frozen
class CloseDoors:
    """A signal that doors were taken from the list."""

    async def handle(self, actor: "DoorKeeper") -> None:
        """Close all doors that are not in the list."""
        await trio.lowlevel.checkpoint()
        actor.close_old()


# -- the actor -----------------------------------------------------------------


@define(eq=False)
class DoorKeeper:
    """Serves the doors in a list that it does not own."""

    models: ModelServers
    nursery: trio.Nursery
    wanted: dict[Path, Door]
    _open: dict[Path, _Open] = field(factory=dict, init=False)

    def open(self, door: Door) -> None:
        """Open a door, unless it was taken from the list meanwhile. Raises DoorFailed."""
        self.close_old()
        if self.wanted.get(door.path) is not door or door.path in self._open:
            return
        try:
            door.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            bound = listening(door.path, BACKLOG, SOCKET_MODE)
        except OSError as error:
            kind = kind_of(error)
            passes = kind in {Obstacle.EXHAUSTED, Obstacle.FULL, Obstacle.FAILING}
            reason = error.strerror or str(error)
            raise DoorFailed(
                f"{door.path}: the gateway's socket cannot be made: {reason}", passes=passes
            ) from error
        opened = self._open[door.path] = _Open(door, bound)
        self.nursery.start_soon(self._serve, opened)
        if isinstance(self.models, HttpServers):
            self.nursery.start_soon(self.models.ready)  # while the runner starts

    def close_old(self) -> None:
        """Close all doors that are not in the list any more."""
        for path, opened in list(self._open.items()):
            if self.wanted.get(path) is not opened.door:
                del self._open[path]
                opened.close()

    def close(self) -> None:
        """Close all doors, at the end of the actor."""
        for opened in self._open.values():
            opened.close()

    async def _serve(self, opened: _Open) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(opened.socket))

        async def serve(stream: trio.SocketStream) -> None:
            await self._connection(stream, opened)

        with opened.scope:
            await trio.serve_listeners(serve, [listener])

    async def _connection(self, stream: trio.SocketStream, opened: _Open) -> None:
        """Serve one connection. An error of it must not disturb the doors of others."""
        if opened.connections >= opened.door.most:
            await trio.aclose_forcefully(stream)
            return
        opened.connections += 1
        try:
            await opened.door.serve(stream)
        except Exception as error:  # noqa: BLE001 -- a bug that one runner's request meets ends that request
            # Not as `exc_info`: some renderers show local variables, and a key is one.
            trace = "".join(format_exception(error))
            _log.error("gateway.connection_failed", session=opened.door.session_id, exception=trace)
        finally:
            opened.connections -= 1


def _recipe(
    models: ModelServers, wanted: dict[Path, Door]
) -> Callable[[Context[DoorKeeper]], AbstractAsyncContextManager[DoorKeeper]]:
    @asynccontextmanager
    async def recipe(_context: Context[DoorKeeper]) -> AsyncIterator[DoorKeeper]:
        async with trio.open_nursery() as nursery:
            keeper = DoorKeeper(models, nursery, wanted)
            try:
                _open_all(keeper, list(wanted.values()))
                yield keeper
            finally:
                keeper.close()
            nursery.cancel_scope.cancel()

    return recipe


def _open_all(keeper: DoorKeeper, doors: list[Door]) -> None:
    for door in doors:
        try:
            keeper.open(door)
        except DoorFailed as error:
            _log.error("gateway.door_failed", session=door.session_id, reason=str(error))


# -- for sessions --------------------------------------------------------------


class Gateway(Protocol):
    """The gateway, as sessions see it."""

    def door(self, path: Path, caller: Caller, /) -> AbstractAsyncContextManager[None]:
        """Serve a runner, whose socket is at `path`, while the context is open.

        Raises:
            DoorFailed: the socket cannot be made, or the gateway is down.
        """
        ...

    @property
    def serves_web(self) -> bool:
        """True if `web_door` leads to the web."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """Return sentences for the status."""
        ...

    def web_door(self, path: Path, caller: WebCaller, /) -> AbstractAsyncContextManager[None]:
        """Serve a sandbox as a proxy of the web at `path` while the context is open.

        Raises:
            DoorFailed: the socket cannot be made, or the gateway is down.
        """
        ...


@frozen
class LocalGateway:
    """A gateway without sockets."""

    proxy: Proxy
    doors: LocalDoors

    @asynccontextmanager
    async def door(self, path: Path, caller: Caller) -> AsyncIterator[None]:
        """Serve a runner that is a task of this process."""
        await trio.lowlevel.checkpoint()
        with self.doors.opened(path, self.proxy, caller):
            yield

    serves_web = False

    def remarks(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def web_door(self, path: Path, caller: WebCaller) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- the protocol's
        """Open nothing: a simulation has no network."""
        return nullcontext()


@frozen
class SocketGateway:
    """A gateway with a socket for each runner that has a model, and one for each sandbox."""

    keeper: Ref[DoorKeeper]
    wanted: dict[Path, Door] = field(repr=False)
    proxy: Proxy = field(repr=False)
    web: WebProxy | None = field(repr=False)
    _room: Room = field(factory=Room, init=False, repr=False)

    @asynccontextmanager
    async def door(self, path: Path, caller: Caller) -> AsyncIterator[None]:
        """Serve a runner over its socket, if it has a model."""
        if not caller.models.served:
            yield
            return
        room = Room(MAX_HELD_BY_ONE, self._room)

        async def serve(stream: trio.SocketStream) -> None:
            await Connection(stream, self.proxy, caller, room).serve()

        async with self._open(Door(path, caller.session_id, serve, MAX_CONNECTIONS)):
            yield

    @property
    def serves_web(self) -> bool:
        """True if it was opened with a proxy of the web."""
        return self.web is not None

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence if agents ask for sites."""
        return () if self.web is None else self.web.sites.remarks()

    @asynccontextmanager
    async def web_door(self, path: Path, caller: WebCaller) -> AsyncIterator[None]:
        """Serve a sandbox over its socket."""
        web = self.web
        if web is None:
            yield
            return

        async def serve(stream: trio.SocketStream) -> None:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            await WebConnection(stream, web, caller).serve()

        async with self._open(Door(path, caller.session_id, serve, MOST_OF_ONE)):
            yield

    @asynccontextmanager
    async def _open(self, door: Door) -> AsyncIterator[None]:
        path = door.path
        self.wanted[path] = door
        try:
            await self._opened(door)
            yield
        finally:
            if self.wanted.get(path) is door:
                del self.wanted[path]
            self.keeper.signal(CloseDoors())

    async def _opened(self, door: Door) -> None:
        try:
            await self.keeper.ask(OpenDoor(door))
        except Crashed as error:  # its next incarnation opens all doors
            _log.warning("gateway.door_opens_later", session=door.session_id, reason=str(error))
        except Stopped as error:
            raise DoorFailed(f"the gateway is down: {error}", passes=True) from error


@asynccontextmanager
async def open_gateway(
    proxy: Proxy,
    supervision: Supervision,
    *,
    under: Supervisor,
    doors: LocalDoors | None = None,
    web: WebProxy | None = None,
) -> AsyncIterator[Gateway]:
    """Open the gateway. The exit ends all requests. With `doors` it has no sockets, and leads to no web."""
    if doors is not None:
        yield LocalGateway(proxy, doors)
        return
    wanted = dict[Path, Door]()
    policy = Policy(give_up=Bury(RETRY_BURIED_S))
    async with supervision.open("gateway", under=under, policy=policy) as supervisor:
        if web is not None:
            supervisor.start("sites", web.sites.recipe)
        keeper = supervisor.start("doors", _recipe(proxy.models, wanted))
        yield SocketGateway(keeper, wanted, proxy, web)
