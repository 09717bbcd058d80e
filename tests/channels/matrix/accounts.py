"""Channels for accounts of a server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.lowlevel
from attrs import Factory, define

from nanoclaw import Address, InboundEvent, Outgoing
from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.matrix import MatrixChannel, MatrixConfig
from nanoclaw.channels.matrix.sending import MatrixSender
from nanoclaw.config.model import KeyConfig
from nanoclaw.records import ChatRenamed, Event, Joined, Left, NotAccepted, Routed, TextContent, received
from nanoclaw.testing import MemoryState
from tests.channels.matrix.synapse import PASSWORD


def matrix_config(base: str, user: str, folder: Path) -> MatrixConfig:
    """Return the configuration of an account with the tests' password."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    return MatrixConfig(base, user, password=KeyConfig(file=secret))


def channel(base: str, user: str, folder: Path, state: MemoryState | None = None) -> MatrixChannel:
    """Return a channel with a folder and a state of its own."""
    made = MatrixChannel(
        matrix_config(base, user, folder), ChannelContext("matrix", folder / "matrix", "UTC", "Ada")
    )
    made.use_state(state or MemoryState())
    return made


@define(eq=False)
class Inbox:
    """An intake that keeps what it is offered, each event once. It may be told to accept nothing."""

    accepts: bool = True
    offered: trio.Event = Factory(trio.Event)
    events: list[Event] = Factory(list)
    changes: list[Event] = Factory(list)
    """What happened to chats and their users."""
    files: dict[str, bytes] = Factory(dict)
    """The files of messages, as a host copies them."""
    _ids: set[str] = Factory(set)
    _came: trio.Event = Factory(trio.Event)

    async def offer(self, event: Event) -> Routed:
        event = received(event)
        self.offered.set()
        await trio.lowlevel.checkpoint()
        if not self.accepts:
            raise NotAccepted("a test")
        if isinstance(event, InboundEvent):
            found = (each for each in event.message.attachments if each.path is not None)
            self.files |= {each.name: await trio.Path(str(each.path)).read_bytes() for each in found}
        message_id = getattr(event, "message_id", "")
        if isinstance(event, ChatRenamed | Joined | Left):
            self.changes.append(event)
        elif message_id not in self._ids:
            self._ids.add(message_id)
            self.events.append(event)
        self._came.set()
        self._came = trio.Event()
        return Routed(("session",), (message_id,))

    async def first(self, n: int) -> Sequence[Event]:
        """Return the first events, once there are so many."""
        with trio.fail_after(30):
            while len(self.events) < n:
                await self._came.wait()
        return self.events[:n]

    async def texts(self, n: int) -> Sequence[str]:
        """Return the texts of the first events, once there are so many."""
        return [each.message.text for each in await self.first(n) if isinstance(each, InboundEvent)]


@asynccontextmanager
async def running(it: MatrixChannel, inbox: Inbox | None = None) -> AsyncIterator[MatrixSender]:
    """Run both halves of a channel, as a host does while the connection holds."""
    async with it.sender() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(it.receive, inbox or Inbox())
        yield sender
        nursery.cancel_scope.cancel()


def text(address: Address, said: str, key: str = "out-1") -> Outgoing:
    return Outgoing(key, address, TextContent(said, markdown=True))
