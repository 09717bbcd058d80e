"""The server of the channel with a host of a few lines, which a test plays."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

import trio
from attrs import Factory, define

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.running import running
from nanoclaw.channels.http.sending import HttpSender
from nanoclaw.channels.http.web import logins
from nanoclaw.records import (
    Address,
    AgentGroup,
    Event,
    InboundEvent,
    NotAccepted,
    Outgoing,
    OutgoingContent,
    OutgoingFile,
    Receipt,
    Routed,
    TextContent,
)
from nanoclaw.store import ThreadExecutor
from nanoclaw.testing.memory_state import MemoryState

NAME = "http"
STORED = Routed(("session",), ("row",))


@define(eq=False)
class Agents:
    """Two agents, to whom everybody may talk."""

    wired: set[tuple[str, str]] = Factory(set)

    async def of_user(self, _user_id: str, /) -> Sequence[AgentGroup]:
        await trio.lowlevel.checkpoint()
        return [_agent("main", "Andy"), _agent("coder", "Coder")]

    async def of_chat(self, address: Address, /) -> Sequence[AgentGroup]:
        await trio.lowlevel.checkpoint()
        return [_agent(folder, folder) for chat, folder in self.wired if chat == address.platform_id]

    async def connect(self, _user_id: str, address: Address, folder: str, /) -> bool:
        await trio.lowlevel.checkpoint()
        self.wired.add((address.platform_id, folder))
        return folder in {"main", "coder"}


def _agent(folder: str, name: str) -> AgentGroup:
    return AgentGroup(f"ag-{folder}", name, folder, None, datetime(2026, 1, 1, tzinfo=UTC))


@define(eq=False)
class Host:
    """Takes what the page says. A test sets how it answers."""

    _send: trio.MemorySendChannel[Event]
    events: trio.MemoryReceiveChannel[Event]
    offered: list[Event] = Factory(list)
    answer: Routed = STORED
    is_down: bool = False
    looks_at: Callable[[InboundEvent], None] = lambda _event: None
    """Called with each message while it is offered."""

    async def offer(self, event: Event) -> Routed:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise NotAccepted("the host is down")
        if isinstance(event, InboundEvent):
            self.looks_at(event)
        self.offered.append(event)
        await self._send.send(event)
        return self.answer

    async def heard(self) -> InboundEvent:
        """Wait for the next message."""
        event = await self.next()
        assert isinstance(event, InboundEvent)
        return event

    async def next(self) -> Event:
        with trio.fail_after(20):
            return await self.events.receive()


@define(eq=False)
class Stage:
    """A running server, and the host behind it."""

    folder: Path
    state: MemoryState
    agents: Agents
    host: Host
    sender: HttpSender
    port: int
    count: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/chat/"

    async def link(self, user: str = "ann", name: str = "Ann") -> str:
        """Return a link that logs a browser in."""
        token = logins.new_token(SystemRandom())
        await self.state.set(logins.stored_as(logins.LINK, token), logins.link_value(user, name))
        return f"{self.url}#login={token}"

    async def deliver(
        self,
        content: OutgoingContent | str,
        thread: str = "",
        chat: str = "ann",
        files: tuple[OutgoingFile, ...] = (),
    ) -> Receipt:
        """Deliver a message of the agent. A text is Markdown."""
        self.count += 1
        whole = TextContent(content, markdown=True) if isinstance(content, str) else content
        outgoing = Outgoing(
            f"out-{self.count}", Address(NAME, chat, thread or None), whole, files=files, author="Andy"
        )
        return await self.sender.deliver(outgoing)


@asynccontextmanager
async def open_stage(
    folder: Path, *, port: int = 0, state: MemoryState | None = None, config: HttpConfig | None = None
) -> AsyncIterator[Stage]:
    """Run the server. A port, a state and a folder of an earlier one continue it."""
    kept, agents = state or MemoryState(), Agents()
    host = Host(*trio.open_memory_channel[Event](1000))
    listen = config or HttpConfig(listen=f"127.0.0.1:{port}", requests_a_minute=1200)
    context = ChannelContext(NAME, folder, "UTC", "Andy")
    async with running(
        listen,
        context,
        host,
        kept,
        agents,
        ThreadExecutor(),
        SystemRandom(),
    ) as (sender, bound):
        yield Stage(folder, kept, agents, host, sender, bound)
