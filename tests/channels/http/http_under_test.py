"""An HTTP channel without a host: a state in memory, agents from a list, and an intake that accepts."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.http.channel import HttpChannel
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.keys import StoredKey, stored_as
from nanoclaw.channels.http.sending import HttpSender
from nanoclaw.config.structure import structure
from nanoclaw.records import Address, AgentGroup, Outgoing, TextContent
from nanoclaw.testing.conformance.exchanges import Host
from nanoclaw.testing.memory_state import MemoryState

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {user: f"nck_{user:0<43}" for user in ("ann", "bob")}
"""A key for each user."""
WITHIN_S = 20.0


@define(eq=False)
class SomeAgents:
    """The agents `main` and `coder`, who listen to ann."""

    wired: list[tuple[Address, str]] = Factory(list)

    async def of_user(self, user_id: str) -> Sequence[AgentGroup]:
        await trio.lowlevel.checkpoint()
        found = [AgentGroup(f"ag-{name}", name.title(), name, None, SINCE) for name in ("main", "coder")]
        return found if user_id == "http:ann" else []

    async def of_chat(self, _address: Address) -> Sequence[AgentGroup]:
        await trio.lowlevel.checkpoint()
        return []

    async def connect(self, _user_id: str, address: Address, folder: str) -> bool:
        await trio.lowlevel.checkpoint()
        self.wired.append((address, folder))
        return True


def http_channel(folder: Path, settings: Mapping[str, Any] | None = None) -> HttpChannel:
    """Return a channel with keys for ann and bob. It listens on a free port."""
    config = structure({"listen": "127.0.0.1:0", **(settings or {})}, HttpConfig, base=folder)
    channel = HttpChannel(config, ChannelContext("http", folder, "UTC", "Nano"))
    values = {stored_as(key): StoredKey(user, user.title(), "", SINCE).dumped() for user, key in KEYS.items()}
    channel.use_state(MemoryState(values))
    channel.use_agents(SomeAgents())
    return channel


@frozen
class Api:
    """A running channel, and clients of it."""

    channel: HttpChannel
    sender: HttpSender
    host: Host
    ann: httpx2.AsyncClient
    bob: httpx2.AsyncClient
    anybody: httpx2.AsyncClient

    @property
    def port(self) -> int:
        assert self.channel.port is not None
        return self.channel.port

    async def answers(self, text: str, chat: str = "ann", **fields: Any) -> str:
        """Have an agent send a message. Return its id."""
        id_ = fields.pop("id", f"out-{text}")
        thread = fields.pop("thread", None)
        content = fields.pop("content", TextContent(text, markdown=True))
        receipt = await self.sender.deliver(Outgoing(id_, Address("http", chat, thread), content, **fields))
        return receipt.platform_message_id or ""

    async def posted(self, text: str, **fields: Any) -> dict[str, Any]:
        """Have ann post a message. Return the answer."""
        answer = await self.ann.post("/v1/messages", json={"text": text, **fields})
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found


@define(eq=False)
class Events:
    """The server-sent events of a connection."""

    stream: trio.SocketStream
    _rest: bytes = b""

    async def line(self) -> str:
        """Return the next line. Chunk sizes and headers are lines, too."""
        while b"\n" not in self._rest:
            with trio.fail_after(WITHIN_S):
                more = await self.stream.receive_some()
            if not more:
                raise EOFError
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().rstrip()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Return the name and the data of the next event."""
        name = ""
        while True:
            line = await self.line()
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def following(port: int, path: str, **headers: str) -> AsyncIterator[Events]:
    """Follow a stream of events as ann."""
    all_ = {"host": f"127.0.0.1:{port}", "authorization": f"Bearer {KEYS['ann']}", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in all_.items())
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        events = Events(stream)
        while await events.line() != "retry: 1000":
            pass
        yield events


def client(port: int, key: str | None = None) -> httpx2.AsyncClient:
    """Return a client of the channel."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=WITHIN_S, verify=False
    )


@asynccontextmanager
async def open_api(folder: Path, host: Host | None = None, **settings: Any) -> AsyncIterator[Api]:
    """Run a channel with these settings."""
    channel, intake = http_channel(folder, settings), host or Host()
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        sender = await stack.enter_async_context(channel.sender())
        nursery.start_soon(channel.receive, intake)
        port = channel.port or 0
        clients = [
            await stack.enter_async_context(client(port, key)) for key in (KEYS["ann"], KEYS["bob"], None)
        ]
        assert isinstance(sender, HttpSender)
        yield Api(channel, sender, intake, *clients)
        nursery.cancel_scope.cancel()
