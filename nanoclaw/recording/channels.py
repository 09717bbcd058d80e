"""Wrappers of channels and of the intake that record their input."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import trio
from attrs import asdict, define, evolve, frozen

from actors import Refusal
from nanoclaw.channels.protocol import (
    ChannelUnavailable,
    DeliveryRejected,
    DirectSender,
    DraftingSender,
    Outcome,
    Sender,
    Unattended,
)
from nanoclaw.channels.receipts import read_receipt, retry_after
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
    Event,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    Routed,
    Said,
    SdkMessage,
    received,
)
from nanoclaw.system.foreign import ForeignError, foreign_code, result_of, text_of

REFUSALS = (DeliveryRejected, ChannelUnavailable, trio.TooSlowError)
LONGEST = 64 << 20
"""Limit, in characters of base64, of a file that a replay recreates."""


@frozen
class RecordedIntake:
    """Notes offered events and their results."""

    intake: Intake
    writer: RecordingWriter
    channel: str | None = None

    async def offer(self, event: Event) -> Routed:
        """Offer the event to the wrapped intake. An event that cannot be taken (`BadEvent`) is not noted."""
        received(event)
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
    """Return the note of an event, without the content of files."""
    if not isinstance(event, Said) or not event.message.attachments:
        return Offered(n, channel, event)
    lengths = tuple(map(_length, event.message.attachments))
    return Offered(n, channel, _with_files(event, [""] * len(lengths)), lengths)


def _length(attachment: Attachment) -> int:
    """Return the length of a file as base64, without reading it."""
    if attachment.path is None:
        return len(attachment.data or "")
    try:
        return (attachment.path.lstat().st_size + 2) // 3 * 4
    except OSError:
        return 0


def _with_files(event: Said, data: Sequence[str]) -> Said:
    """Return the event with other data in its files. A file without content stays as it is."""
    if isinstance(event, SdkMessage):
        files = [
            each if each.get("data") is None else {**each, "data": one}
            for each, one in zip(event.content["attachments"], data, strict=False)
        ]
        return evolve(event, content={**event.content, "attachments": files})
    attachments = tuple(
        evolve(each, path=None, data=one) if each.has_content else each
        for each, one in zip(event.message.attachments, data, strict=False)
    )
    return evolve(event, message=evolve(event.message, attachments=attachments))


def event_of(note: Offered) -> Event:
    """Return the event of a note. Its files have the recorded sizes and empty content."""
    event = note.event
    if not isinstance(event, Said) or not note.lengths:
        return event
    return _with_files(event, ["A" * min(length, LONGEST) for length in note.lengths])


@frozen
class RecordedChannel(ChannelWrapper):
    """A channel whose events, deliveries and receipts are noted."""

    writer: RecordingWriter

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Open the wrapped channel's sender."""
        broken: _Moment | None = None
        try:
            with foreign_code(Refusal):
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
        """Receive with the wrapped channel."""
        try:
            with foreign_code(Refusal):
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
        """Set the moment, if it is not set."""
        self.at = trio.current_time() if self.at is None else self.at

    def ago_s(self) -> float:
        """Return the seconds since the moment."""
        return 0.0 if self.at is None else round(trio.current_time() - self.at, 6)


@asynccontextmanager
async def _noticing_cancellation() -> AsyncIterator[_Moment]:
    """Yield the moment at which the block is cancelled, since it may end later. Its error stays unchanged."""
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
    error = error.error if isinstance(error, ForeignError) else error
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {text_of(error)}"


def searched(n: int, channel: str, user_id: str) -> Asked:
    """Return the note about the search for the direct chat of a user."""
    return Asked(n, channel, f"dm-{user_id}", Address(channel, user_id), {"is": "DirectChat"})


@frozen
class RecordedSender:
    """Notes deliveries and lookups with their results. It does not note hints."""

    sender: Sender
    channel: str
    writer: RecordingWriter

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Deliver with the wrapped sender."""
        with self._asking(outgoing, lookup=False) as answer, foreign_code(*REFUSALS):
            returned: Any = await result_of(self.sender.deliver(outgoing))
            answer.receipt(read_receipt(returned)[0])
            return returned  # type: ignore[no-any-return]  # the host says what is wrong with it

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Look up with the wrapped sender."""
        with self._asking(outgoing, lookup=True) as answer, foreign_code(*REFUSALS):
            found: Any = await result_of(self.sender.find(outgoing))
            answer.receipt(read_receipt(found)[0] if found else None)
            return found  # type: ignore[no-any-return]  # as above

    async def open_dm(self, user_id: str) -> Address:
        """Search with the wrapped sender. It is noted like a delivery whose receipt names the chat."""
        n = next(self.writer.numbers)
        self.writer.note(searched(n, self.channel, user_id))
        with _Answering(n, self.writer, trio.current_time()) as answer, foreign_code(*REFUSALS):
            found: Any = await result_of(cast("DirectSender", self.sender).open_dm(user_id))
            answer.receipt(Receipt(getattr(found, "platform_id", None)))
            return found  # type: ignore[no-any-return]  # as above

    async def typing(self, address: Address) -> None:
        """Pass the hint on."""
        await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Pass the hint on."""
        await self.sender.settled(address, platform_message_id, outcome)

    async def draft(self, address: Address, text: str) -> None:
        """Pass the hint on."""
        await cast("DraftingSender", self.sender).draft(address, text)

    def _asking(self, outgoing: Outgoing, *, lookup: bool) -> "_Answering":
        n = next(self.writer.numbers)
        self.writer.note(asked(n, self.channel, outgoing, lookup=lookup))
        return _Answering(n, self.writer, trio.current_time())


@frozen
class _Answering:
    """Notes the result of the channel in the block."""

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
                return Answered(self.n, "rejected", self._took(), reason=text_of(error))
            case Unattended():
                return Answered(self.n, "unattended", self._took(), reason=text_of(error))
            case ChannelUnavailable():
                delay_s = retry_after(error)
                return Answered(
                    self.n, "unavailable", self._took(), reason=text_of(error), retry_after=delay_s
                )
            case ForeignError():
                return Answered(self.n, "broke", self._took(), reason=str(error))
            case Exception():
                return Answered(self.n, "broke", self._took(), reason=_words(error))
            case _:
                return Answered(self.n, "given up", self._took())

    def _took(self) -> float:
        return round(trio.current_time() - self.since, 6)


def asked(n: int, channel: str, outgoing: Outgoing, *, lookup: bool = False) -> Asked:
    """Return the note of a delivery or lookup."""
    content: Mapping[str, object] = {
        "is": type(outgoing.content).__name__,
        **{name: _plain(value) for name, value in asdict(outgoing.content).items()},
    }
    files = tuple(FileMark(file.name, file.size) for file in outgoing.files)
    where, reply_to = outgoing.address, outgoing.in_reply_to
    return Asked(n, channel, outgoing.message_out_id, where, content, reply_to, files, lookup)


def _plain(value: object) -> object:
    return list(map(_plain, value)) if isinstance(value, tuple) else value
