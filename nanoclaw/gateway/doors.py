"""The gateway actor: owns the sockets of all living runners, one door each, and serves what comes in.

The list of open doors lives beside the actor. So if the actor crashes, its next incarnation opens them again.
"""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
from nanoclaw.gateway.upstream import HttpServers
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


@frozen(eq=False)
class Door:
    """A runner's way to its models."""

    path: Path
    caller: Caller


@define(eq=False)
class _Open:
    """The socket of an open door, and the scope of its connections."""

    door: Door
    socket: socket.socket
    room: Room
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

    proxy: Proxy
    nursery: trio.Nursery
    wanted: dict[Path, Door]
    _open: dict[Path, _Open] = field(factory=dict, init=False)
    _room: Room = field(factory=Room, init=False)

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
        opened = self._open[door.path] = _Open(door, bound, Room(MAX_HELD_BY_ONE, self._room))
        self.nursery.start_soon(self._serve, opened)
        if isinstance(self.proxy.models, HttpServers):
            self.nursery.start_soon(self.proxy.models.ready)  # while the runner starts

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
        if opened.connections >= MAX_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        opened.connections += 1
        try:
            await Connection(stream, self.proxy, opened.door.caller, opened.room).serve()
        except Exception as error:  # noqa: BLE001 -- a bug that one runner's request meets ends that request
            # Not as `exc_info`: some renderers show local variables, and a key is one.
            trace = "".join(format_exception(error))
            _log.error("gateway.connection_failed", session=opened.door.caller.session_id, exception=trace)
        finally:
            opened.connections -= 1


def _recipe(
    proxy: Proxy, wanted: dict[Path, Door]
) -> Callable[[Context[DoorKeeper]], AbstractAsyncContextManager[DoorKeeper]]:
    @asynccontextmanager
    async def recipe(_context: Context[DoorKeeper]) -> AsyncIterator[DoorKeeper]:
        async with trio.open_nursery() as nursery:
            keeper = DoorKeeper(proxy, nursery, wanted)
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
            _log.error("gateway.door_failed", session=door.caller.session_id, reason=str(error))


# -- for sessions --------------------------------------------------------------


class Gateway(Protocol):
    """The gateway, as sessions see it."""

    def door(self, path: Path, caller: Caller, /) -> AbstractAsyncContextManager[None]:
        """Serve a runner, whose socket is at `path`, while the context is open.

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


@frozen
class SocketGateway:
    """A gateway with a socket for each runner that has a model."""

    keeper: Ref[DoorKeeper]
    wanted: dict[Path, Door] = field(repr=False)

    @asynccontextmanager
    async def door(self, path: Path, caller: Caller) -> AsyncIterator[None]:
        """Serve a runner over its socket, if it has a model."""
        if not caller.models.served:
            yield
            return
        door = self.wanted[path] = Door(path, caller)
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
            _log.warning("gateway.door_opens_later", session=door.caller.session_id, reason=str(error))
        except Stopped as error:
            raise DoorFailed(f"the gateway is down: {error}", passes=True) from error


@asynccontextmanager
async def open_gateway(
    proxy: Proxy, supervision: Supervision, *, under: Supervisor, doors: LocalDoors | None = None
) -> AsyncIterator[Gateway]:
    """Open the gateway. The exit ends all requests. With `doors` it has no sockets."""
    if doors is not None:
        yield LocalGateway(proxy, doors)
        return
    wanted = dict[Path, Door]()
    policy = Policy(give_up=Bury(RETRY_BURIED_S))
    async with supervision.open("gateway", under=under, policy=policy) as supervisor:
        yield SocketGateway(supervisor.start("doors", _recipe(proxy, wanted)), wanted)
