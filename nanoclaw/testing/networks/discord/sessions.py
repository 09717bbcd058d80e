"""The gateway of the fake Discord: sessions whose events are kept, and replayed when they are resumed."""

import json
import zlib
from itertools import count
from typing import Any

import trio
from attrs import Factory, define
from starlette.websockets import WebSocket, WebSocketDisconnect

Json = dict[str, Any]
DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11
HEARTBEAT_MS = 41_250


@define(eq=False)
class Link:
    """One socket of a bot, with its compression."""

    socket: WebSocket
    is_compressed: bool
    _pack: Any = Factory(zlib.compressobj)
    _lock: trio.Lock = Factory(trio.Lock)
    is_over: bool = False
    close_code: int | None = None
    closing: trio.Event = Factory(trio.Event)

    async def send(
        self, op: int, data: Any = None, name: str | None = None, sequence: int | None = None
    ) -> None:
        """Send a payload, if the socket is open."""
        text = json.dumps({"op": op, "d": data, "s": sequence, "t": name})
        async with self._lock:
            if self.is_over:
                return
            try:
                if self.is_compressed:
                    packed = self._pack.compress(text.encode()) + self._pack.flush(zlib.Z_SYNC_FLUSH)
                    await self.socket.send_bytes(packed)
                else:
                    await self.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError, OSError):
                self.is_over = True

    def close(self, code: int) -> None:
        """Have the socket closed with a code."""
        self.close_code = code
        self.closing.set()


@define(eq=False)
class Session:
    """The session of a bot: all its events, so that it can be resumed after any of them."""

    id: str
    events: list[tuple[int, str, Any]] = Factory(list)
    link: Link | None = None

    async def dispatch(self, name: str, data: Any) -> None:
        """Send an event, and keep it."""
        sequence = len(self.events) + 1
        self.events.append((sequence, name, data))
        if self.link is not None:
            await self.link.send(DISPATCH, data, name, sequence)

    async def replay(self, after: int) -> None:
        """Send the events after one again."""
        assert self.link is not None  # noqa: S101 -- it was resumed
        for sequence, name, data in self.events[after:]:
            await self.link.send(DISPATCH, data, name, sequence)


@define(eq=False)
class Sessions:
    """The sessions of a bot."""

    found: dict[str, Session] = Factory(dict)
    begun: int = 0
    """How often a session was begun, and how often one was resumed."""
    resumed: int = 0
    _numbers: "count[int]" = Factory(lambda: count(1))

    def begin(self, link: Link) -> Session:
        """Begin a session."""
        session = Session(f"session-{next(self._numbers)}", link=link)
        self.found[session.id] = session
        self.begun += 1
        return session

    async def dispatch(self, name: str, data: Any) -> None:
        """Send an event to all sessions."""
        copy = json.loads(json.dumps(data))
        for session in list(self.found.values()):
            await session.dispatch(name, copy)

    @property
    def sequence(self) -> int:
        """The number of events of the newest session."""
        return len(list(self.found.values())[-1].events) if self.found else 0

    def drop(self, code: int = 1006) -> None:
        """Close all sockets. The sessions can be resumed."""
        for session in self.found.values():
            if session.link is not None:
                session.link.close(code)
                session.link = None

    async def ask_to_reconnect(self) -> None:
        """Ask the bots to connect anew, and resume."""
        for session in self.found.values():
            if session.link is not None:
                await session.link.send(RECONNECT)

    def forget(self) -> None:
        """Forget all sessions: they cannot be resumed, and their events are lost."""
        self.drop(4000)
        self.found.clear()
