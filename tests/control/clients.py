"""A host with a control socket, and clients that speak its protocol word for word."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import trio
from attrs import Factory, define, field

from actors import Node, Policy, Supervisor
from nanoclaw.channels.protocol import Channel, Sender, Unattended
from nanoclaw.channels.terminal.desk import FrontEnd
from nanoclaw.channels.terminal.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, Terminal
from nanoclaw.control import Control, open_control
from nanoclaw.control.address import socket_path
from nanoclaw.host import Host, open_host
from nanoclaw.logs.ring import LogRing
from nanoclaw.records import Attended, Event, InboundEvent, NotAccepted, Outgoing, Routed, TextContent
from nanoclaw.records.status import CannotTell, HostReport
from nanoclaw.system.lines import Lines
from nanoclaw.system.sockets import nameable
from nanoclaw.system.supervision import Supervision
from tests.host.homes import config

GUARD_S = 10.0
"""An upper bound on a hang; nothing waits for it."""


@define(eq=False)
class RawClient:
    """One connection."""

    stream: trio.SocketStream
    _lines: Lines = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = Lines(self.stream.receive_some, 2**27)

    async def send(self, id_: Any, method: str, **params: Any) -> None:
        request = {"v": 1, "id": id_, "method": method, "params": params}
        await self.send_raw(json.dumps(request).encode() + b"\n")

    async def send_raw(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> dict[str, Any]:
        """Return the next line; fail the test if there is none."""
        line = await anext(self._lines, b"null")
        assert line is not None
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def result(self, id_: Any) -> Any:
        """Return the result of a request; skip earlier lines."""
        while True:
            answer = await self.receive()
            if answer["id"] == id_ and "result" in answer:
                return answer["result"]
            assert "error" not in answer, answer

    async def ask(self, method: str, **params: Any) -> Any:
        await self.send("ask", method, **params)
        return await self.result("ask")

    async def error(self) -> dict[str, Any]:
        """Return the next error, with its request's id."""
        answer = await self.receive()
        return {"id": answer["id"], **answer["error"]}

    async def event(self, type_: str) -> dict[str, Any]:
        """Return the next event of that type, with its request's id."""
        while True:
            answer = await self.receive()
            if answer.get("event", {}).get("type") == type_:
                return {"id": answer["id"], **answer["event"]}

    async def message(self) -> tuple[Any, str]:
        """The next message that is shown: the id of the request it answers, and its text."""
        event = await self.event("message")
        return event["id"], event["text"]

    async def ended(self) -> None:
        """Return when the host has ended the connection, whatever it said before."""
        try:
            async for _ in self._lines:
                pass
        except trio.BrokenResourceError:
            return


@asynccontextmanager
async def silent(data: Path) -> AsyncIterator[trio.SocketStream]:
    """Open a connection that sends and reads nothing."""
    with nameable(socket_path(data)) as name:
        stream = await trio.open_unix_socket(name)
    async with stream:
        yield stream


@asynccontextmanager
async def connected(data: Path) -> AsyncIterator[RawClient]:
    """Connect a client and read the greeting."""
    async with silent(data) as stream:
        client = RawClient(stream)
        assert (await client.receive())["nanoclaw"] == 1
        yield client


@define(eq=False)
class LivingHost:
    host: Host
    terminal: Terminal
    ring: LogRing

    @property
    def data(self) -> Path:
        return self.host.config.data


@asynccontextmanager
async def living(
    home: Path, *others: Channel, front: FrontEnd | None = None, **settings: Any
) -> AsyncIterator[LivingHost]:
    """A real host, as `nanoclaw run --headless` has it."""
    ring, terminal = LogRing(), Terminal(front, SystemRandom())
    with trio.fail_after(3 * GUARD_S):
        async with open_host(
            config(home, **settings), channels=[terminal, *others], control=Control(terminal, ring)
        ) as host:
            await host.bootstrap(CHAT, CHAT_NAME, owner_id=USER_ID, owner_name=USER_NAME)
            terminal.open()
            yield LivingHost(host, terminal, ring)


# -- the socket without a host -------------------------------------------------


@define(eq=False)
class Echo:
    """An intake and what is behind it: answers at once what it is told, as the host would."""

    terminal: Terminal
    sender: Sender
    refusal: str | None = None
    dropped: str | None = None
    quiet: bool = False
    """True if it answers nothing by itself."""
    offered: list[InboundEvent] = Factory(list)
    attended: int = 0
    """How often the terminal said that somebody is there."""
    _answers: tuple[trio.MemorySendChannel[InboundEvent], trio.MemoryReceiveChannel[InboundEvent]] = Factory(
        lambda: trio.open_memory_channel[InboundEvent](1000)
    )
    _numbers: Iterator[int] = Factory(count)

    async def offer(self, event: Event) -> Routed:
        if isinstance(event, Attended):
            self.attended += 1
            return Routed()
        assert isinstance(event, InboundEvent)
        if self.refusal is not None:
            raise NotAccepted(self.refusal)
        if self.dropped is not None:
            return Routed(dropped=self.dropped)
        self.offered.append(event)
        if not self.quiet:
            self._answers[0].send_nowait(event)
        return Routed(("sess-1",), (event.message_id,))

    async def answer(self) -> None:
        """Answer one message after the other, as a session does."""
        async for event in self._answers[1]:
            self.terminal.work()
            with suppress(Unattended):
                await self.show(f"echo: {event.message.text}", event.event_id)
            self.terminal.settled(event.event_id, None)

    async def show(self, text: str, answers: str | None = None) -> None:
        """Deliver a message to the terminal's chat."""
        id_ = f"out-{next(self._numbers)}"
        await self.sender.deliver(Outgoing(id_, CHAT, TextContent(text), answers))


@define(eq=False)
class NoStatus:
    """A host with an empty status."""

    async def status(self) -> HostReport:
        raise CannotTell("there is nothing to tell")

    def tree(self) -> Node:
        return Node("host", "running")


@define(eq=False)
class Socket:
    data: Path
    terminal: Terminal
    echo: Echo
    ring: LogRing
    supervisor: Supervisor

    @property
    def node(self) -> Node:
        """Return the socket's actor in the live tree."""
        [node] = self.supervisor.tree().children
        return node


@asynccontextmanager
async def listening(
    data: Path, *, front: FrontEnd | None = None, usable: bool = True, bare: bool = False
) -> AsyncIterator[Socket]:
    """A control socket over a terminal whose agent is an echo."""
    ring, terminal = LogRing(), Terminal(front, Random(1))
    control = Control() if bare else Control(terminal, ring)
    supervision = Supervision(Random(1))
    with trio.fail_after(3 * GUARD_S):
        async with (
            supervision.open("host", under=None, policy=Policy()) as root,
            terminal.sender() as sender,
            open_control(data, control, NoStatus(), supervision, under=root),
            trio.open_nursery() as nursery,
        ):
            echo = Echo(terminal, sender)
            terminal.open()
            nursery.start_soon(echo.answer)
            nursery.start_soon(terminal.receive, echo)
            [supervisor] = root._nested
            ref = supervisor.get("socket")
            assert ref is not None
            await (ref.wait_started() if usable else ref.wait_stopped())
            yield Socket(data, terminal, echo, ring, supervisor)
            nursery.cancel_scope.cancel()
