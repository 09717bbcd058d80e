"""Channels, and the intake, with a writer beside them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

import trio
from attrs import asdict, define, evolve, frozen

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome, Sender
from nanoclaw.channels.wrapper import ChannelWrapper
from nanoclaw.recording.notes import (
    Answer,
    Answered,
    Asked,
    Confirmed,
    Connected,
    Disconnected,
    FileMark,
    NotConfirmed,
    Offered,
    ReceiverEnded,
)
from nanoclaw.recording.writer import RecordingWriter
from nanoclaw.records import (
    Address,
    Attachment,
    Clicked,
    Event,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    Routed,
)

LONGEST = 64 << 20
"""Characters of a file, in base64, that a replay makes again."""


@frozen
class RecordedIntake:
    """Notes what is offered, and what becomes of it."""

    intake: Intake
    writer: RecordingWriter
    channel: str | None = None

    async def offer(self, event: Event) -> Routed:
        """The intake's."""
        n = next(self.writer.numbers)
        self.writer.note(_offered(n, self.channel, event))
        try:
            routed = await self.intake.offer(event)
        except NotAccepted as error:
            self.writer.note(NotConfirmed(n, str(error)))
            raise
        except BaseException as error:
            self.writer.note(NotConfirmed(n, f"cut off: {type(error).__name__}"))
            raise
        self.writer.note(Confirmed(n, routed))
        return routed


def _offered(n: int, channel: str | None, event: Event) -> Offered:
    """The note, without what is in files."""
    if isinstance(event, Clicked) or not event.message.attachments:
        return Offered(n, channel, event)
    attachments = event.message.attachments
    lengths = tuple(len(attachment.data or "") for attachment in attachments)
    return Offered(n, channel, _with_files(event, tuple(map(_empty, attachments))), lengths)


def _empty(attachment: Attachment) -> Attachment:
    return attachment if attachment.data is None else evolve(attachment, data="")


def _with_files(event: InboundEvent, attachments: tuple[Attachment, ...]) -> InboundEvent:
    return evolve(event, message=evolve(event.message, attachments=attachments))


def event_of(note: Offered) -> Event:
    """The event, with as much of nothing in its files as there was."""
    event = note.event
    if isinstance(event, Clicked) or not note.lengths:
        return event
    pairs = zip(event.message.attachments, note.lengths, strict=False)
    return _with_files(event, tuple(_filled(attachment, length) for attachment, length in pairs))


def _filled(attachment: Attachment, length: int) -> Attachment:
    return attachment if attachment.data is None else evolve(attachment, data="A" * min(length, LONGEST))


@frozen
class RecordedChannel(ChannelWrapper):
    """A channel whose events, requests and answers are noted."""

    writer: RecordingWriter

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """The channel's."""
        broken: _Moment | None = None
        try:
            async with self.channel.sender() as sender, _noticing_cancellation() as broken:
                self.writer.note(Connected(self.channel_type))
                yield RecordedSender(sender, self.channel_type, self.writer)
        except Exception as error:
            words = _words(error)
            if broken is None:
                self.writer.note(Connected(self.channel_type, words))
            else:
                self.writer.note(Disconnected(self.channel_type, words, broken.ago_s()))
            raise

    async def receive(self, intake: Intake) -> None:
        """The channel's."""
        try:
            await self.channel.receive(RecordedIntake(intake, self.writer, self.channel_type))
        except Exception as error:
            self.writer.note(ReceiverEnded(self.channel_type, _words(error)))
            raise
        self.writer.note(ReceiverEnded(self.channel_type, None))


@define(eq=False)
class _Moment:
    """The first moment of an event, on trio's clock."""

    at: float | None = None

    def now(self) -> None:
        """Now, unless it was before."""
        self.at = trio.current_time() if self.at is None else self.at

    def ago_s(self) -> float:
        """Seconds since."""
        return 0.0 if self.at is None else round(trio.current_time() - self.at, 6)


@asynccontextmanager
async def _noticing_cancellation() -> AsyncIterator[_Moment]:
    """Tell when the block is cancelled from outside: it may take long to end. Its error comes as it is."""
    moment = _Moment()
    raised: Exception | None = None

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            moment.now()
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        try:
            yield moment
        except Exception as error:  # noqa: BLE001 -- raised again below, out of the nursery
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


def _words(error: BaseException) -> str:
    """Return the type and the text of an error, or of the first one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


@frozen
class RecordedSender:
    """Notes what it is asked and answers; hints pass by."""

    sender: Sender
    channel: str
    writer: RecordingWriter

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """The sender's."""
        with self._asking(outgoing, lookup=False) as answer:
            receipt = await self.sender.deliver(outgoing)
            answer.receipt(receipt)
            return receipt

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """The sender's."""
        with self._asking(outgoing, lookup=True) as answer:
            receipt = await self.sender.find(outgoing)
            answer.receipt(receipt)
            return receipt

    async def typing(self, address: Address) -> None:
        """The sender's."""
        await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """The sender's."""
        await self.sender.settled(address, platform_message_id, outcome)

    def _asking(self, outgoing: Outgoing, *, lookup: bool) -> "_Answering":
        n = next(self.writer.numbers)
        self.writer.note(asked(n, self.channel, outgoing, lookup=lookup))
        return _Answering(n, self.writer, trio.current_time())


@frozen
class _Answering:
    """Notes what a channel answers while the block runs."""

    n: int
    writer: RecordingWriter
    since: float

    def receipt(self, receipt: Receipt | None) -> None:
        id_ = None if receipt is None else receipt.platform_message_id
        answer: Answer = "nothing" if receipt is None else "receipt"
        self.writer.note(Answered(self.n, answer, self._took(), platform_message_id=id_))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.writer.note(self._failed(error))

    def _failed(self, error: BaseException) -> Answered:
        match error:
            case DeliveryRejected():
                return Answered(self.n, "rejected", self._took(), reason=str(error))
            case ChannelUnavailable():
                return Answered(
                    self.n, "unavailable", self._took(), reason=str(error), retry_after=error.retry_after
                )
            case Exception():
                return Answered(self.n, "broke", self._took(), reason=_words(error))
            case _:
                return Answered(self.n, "given up", self._took())

    def _took(self) -> float:
        return round(trio.current_time() - self.since, 6)


def asked(n: int, channel: str, outgoing: Outgoing, *, lookup: bool = False) -> Asked:
    """The note of a message that is to be delivered, or looked for."""
    content: Mapping[str, object] = {
        "is": type(outgoing.content).__name__,
        **{name: _plain(value) for name, value in asdict(outgoing.content).items()},
    }
    files = tuple(FileMark(file.name, len(file.data)) for file in outgoing.files)
    where, reply_to = outgoing.address, outgoing.in_reply_to
    return Asked(n, channel, outgoing.message_out_id, where, content, reply_to, files, lookup)


def _plain(value: object) -> object:
    return list(map(_plain, value)) if isinstance(value, tuple) else value
