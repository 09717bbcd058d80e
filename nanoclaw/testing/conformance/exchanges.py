"""The actions of the channel suite, which stands in for the host."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, cast

import trio
from attrs import Factory, define, evolve

from nanoclaw.channels.chat_sender import DRAFT_TIMEOUT_S, HINT_TIMEOUT_S
from nanoclaw.channels.protocol import Channel, DraftingSender, Sender
from nanoclaw.records import (
    Address,
    Attachment,
    Attended,
    BadEvent,
    ChatChange,
    Clicked,
    Event,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    Remark,
    Routed,
    Said,
    TextContent,
    Webhook,
    received,
)
from nanoclaw.records.files import MAX_BYTES
from nanoclaw.system.foreign import ungrouped
from nanoclaw.system.streaming import TooLarge, opened, parts
from nanoclaw.testing.conformance.checks import NotConforming, require
from nanoclaw.testing.conformance.stepped_channel import SteppedChannel

SOON_S = 10.0
"""Seconds within which a network that is up answers."""
AGAIN_S = 0.1
NO_ID = "the host takes the message for delivered, and no edit or reaction can reach it"


def outgoing(address: Address, text: str, key: str | None = None) -> Outgoing:
    """Return a message. Its key is derived from its text, unless one is given."""
    return Outgoing(key or f"out-{text}", address, TextContent(text))


async def deliver(sender: Sender, message: Outgoing) -> Receipt:
    """Deliver to a network that is up.

    Raises:
        NotConforming: it fails, or does not answer soon.
    """
    raised, returned = await _outcome(sender, message)
    if raised is not None:
        raise NotConforming(f"the network is up, and deliver {did(raised)}") from raised
    return cast("Receipt", returned)


async def receipt_of(sender: Sender, message: Outgoing) -> Receipt:
    """Deliver to a network that is up, and return its receipt.

    Raises:
        NotConforming: it fails, does not answer soon, or returns no receipt.
    """
    returned: object = await deliver(sender, message)
    if not isinstance(returned, Receipt):
        raise NotConforming(f"deliver returned {returned!r}, which is no Receipt: {NO_ID}")
    return returned


def did(error: Exception) -> str:
    """Return in words what a delivery did that failed with this error."""
    slow = isinstance(error, trio.TooSlowError)
    return f"took more than {SOON_S:g} s" if slow else f"raised {error!r}"


async def failure(sender: Sender, message: Outgoing) -> Exception | None:
    """Return what a delivery raised, a time-out included; None if it gave a receipt."""
    raised, _ = await _outcome(sender, message)
    return raised


async def _outcome(sender: Sender, message: Outgoing) -> tuple[Exception | None, object]:
    """Return what a delivery raised, or None and what it returned."""
    try:
        with trio.fail_after(SOON_S):
            return None, await sender.deliver(message)
    except NotConforming:
        raise
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error, None


async def failure_with_connection(channel: Channel, message: Outgoing) -> Exception | None:
    """Return the error of a delivery with its own sender; opening or closing the sender may fail, too."""
    try:
        with ungrouped(NotConforming):
            async with channel.sender() as sender:
                return await failure(sender, message)
    except NotConforming:
        raise
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error


async def hint(sender: Sender, address: Address) -> None:
    """Give both hints, for as long as the host waits for one. Raises NotConforming if one raises."""
    hints = {
        "typing": partial(sender.typing, address),
        "settled": partial(sender.settled, address, "message-1", "completed"),
    }
    for name, give in hints.items():
        await _hinted(name, give, HINT_TIMEOUT_S)


async def draft(sender: Sender, address: Address, text: str) -> None:
    """Show a draft, for as long as the host waits for one. Raises NotConforming if that raises."""
    require(hasattr(sender, "draft"), "capabilities.drafts is True, and its sender has no draft()")
    give = partial(cast("DraftingSender", sender).draft, address, text)
    await _hinted("draft", give, DRAFT_TIMEOUT_S)


async def _hinted(name: str, give: Callable[[], Awaitable[None]], within_s: float) -> None:
    try:
        with trio.move_on_after(within_s):
            await give()
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"{name} raised {error!r}") from error


@define(eq=False)
class Host(Intake):
    """Accepts what a channel offers, at once or after `let`. It refuses the first `refusals` events."""

    at_once: bool = True
    refusals: int = 0
    seen: list[Said] = Factory(list)
    stored: list[Said] = Factory(list)
    remarks: list[Remark] = Factory(list)
    """The stored deletions and reactions, each once."""
    webhooks: list[Webhook] = Factory(list)
    clicks: list[Clicked] = Factory(list)
    """The stored presses, one for each question."""
    reads_files: bool = True
    """False: files are only measured."""
    sizes: list[int] = Factory(list)
    """The sizes of the files that were measured."""
    changes: list[ChatChange] = Factory(list)
    """The changes of chats."""
    offered: trio.Event = Factory(trio.Event)
    _let: trio.Event = Factory(trio.Event)

    def let(self) -> None:
        """Store offered events from now on."""
        self._let.set()

    async def offer(self, event: Event) -> Routed:
        """Take an event."""
        require(isinstance(event, Event), f"offered {event!r}, which is no event, such as an InboundEvent")
        try:
            event = received(event)
        except BadEvent as error:
            raise NotConforming(f"offered what no host takes: {error}") from error
        if isinstance(event, Attended):
            await trio.lowlevel.checkpoint()
            return Routed()
        if isinstance(event, Said):
            event = with_bytes(event) if self.reads_files else self._measured(event)
            self.seen.append(event)
        self.offered.set()
        await trio.lowlevel.checkpoint()
        if self.refusals:
            self.refusals -= 1
            raise NotAccepted("the disk is full")
        if not self.at_once:
            await self._let.wait()
        if isinstance(event, ChatChange):
            self.changes.append(event)
            return Routed()
        return self._click(event) if isinstance(event, Clicked) else self._store(event)

    def _measured(self, event: Said) -> Said:
        files = event.message.attachments
        self.sizes += [file.path.lstat().st_size for file in files if file.path is not None]
        return event

    def _store(self, event: Said | Remark | Webhook) -> Routed:
        stored: list[Any] = self.stored
        if not isinstance(event, Said):
            stored = self.webhooks if isinstance(event, Webhook) else self.remarks
        if event.message_id not in {one.message_id for one in stored}:
            stored.append(event)
        return Routed(("sess-1",), (event.message_id,))

    def _click(self, click: Clicked) -> Routed:
        if click.question_id in {one.question_id for one in self.clicks}:
            return Routed(dropped="it is answered")
        self.clicks.append(click)
        return Routed(("sess-1",), ("answer-1",))


def with_bytes(event: Said) -> Said:
    """Return a message whose files are read from their paths, as a host copies them.

    Raises:
        NotConforming: a path names no file that can be read.
    """
    if not isinstance(event, InboundEvent):
        return event
    files = tuple(map(_read, event.message.attachments))
    return evolve(event, message=evolve(event.message, attachments=files))


def _read(file: Attachment) -> Attachment:
    if file.path is None:
        return file
    try:
        with opened(file.path) as descriptor:
            data = b"".join(parts(descriptor, MAX_BYTES))
    except (OSError, TooLarge) as error:
        raise NotConforming(f"the file {file.name} was offered at {file.path}: {error!r}") from error
    return evolve(file, path=None, data=b64encode(data).decode())


@asynccontextmanager
async def receiving(channel: Channel, host: Host) -> AsyncIterator[None]:
    """Receive as a host does while the context is open. A receiving half that fails is restarted.

    The host opens the sending half first, so this opens it if the check has not.
    """
    connected = isinstance(channel, SteppedChannel) and channel.connections.open
    async with nullcontext() if connected else channel.sender(), trio.open_nursery() as nursery:
        nursery.start_soon(_receive, channel, host)
        yield
        nursery.cancel_scope.cancel()


async def _receive(channel: Channel, host: Host) -> None:
    while True:
        try:
            await channel.receive(host)
        except NotConforming:
            raise
        except Exception:  # noqa: BLE001 -- it may fail of what it likes, such as of what `offer` raised
            await trio.sleep(AGAIN_S)
        else:
            return
