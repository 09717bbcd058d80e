"""The sending half: contents of agents as calls of the Bot API."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import structlog
import trio
from attrs import Factory, define, field, frozen
from telegram import InlineKeyboardMarkup, InputFile, InputMediaDocument, ReactionTypeEmoji, ReplyParameters
from telegram.error import BadRequest, ChatMigrated, TelegramError

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome
from nanoclaw.channels.sent_pieces import SentPieces
from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.dialect import LONGEST_CAPTION, Said, messages, titled
from nanoclaw.channels.telegram.drafting import Drafts
from nanoclaw.channels.telegram.faults import as_delivery, as_unavailable
from nanoclaw.channels.telegram.keyboards import Keyboards
from nanoclaw.channels.telegram.moves import number_of
from nanoclaw.channels.telegram.receiving import PREFIX
from nanoclaw.records import (
    Address,
    CardContent,
    CardEditContent,
    EditContent,
    Outgoing,
    OutgoingFile,
    QuestionContent,
    ReactionContent,
    Receipt,
    TextContent,
)

MOST_IN_ALBUM = 10
LARGEST_UPLOAD = 50_000_000
"""Limit of a file in bytes that Telegram takes from bots."""
TYPING_S = 4.0
"""Seconds for which Telegram shows that the bot is typing, less one."""
UPLOAD_S = 60.0
PIECES_KEPT_S = 2 * 86_400.0
"""Seconds for which the ids of the pieces of a long message are known."""
LONG = 20_000
"""Characters of a text that is rendered in a thread."""

_log = structlog.get_logger()


@frozen
class Place:
    """A chat and a topic, as Telegram names them."""

    chat: int | str
    thread: int | None
    reply: ReplyParameters | None = None

    def where(self, *, first: bool = True) -> dict[str, Any]:
        """Return the arguments of the SDK's methods. Only the first message of several is a reply."""
        found: dict[str, Any] = {"chat_id": self.chat}
        found |= {} if self.thread is None else {"message_thread_id": self.thread}
        return found | ({"reply_parameters": self.reply} if first and self.reply is not None else {})


Part = Callable[[], Awaitable[int]]
"""Sends one part of a message, and returns its id."""


@define(eq=False)
class TelegramSender:
    """Sends over one connection."""

    channel_type: str
    connection: Connection
    state: ChannelState
    drafts: Drafts
    keyboards: Keyboards
    _typed: dict[Address, float] = Factory(dict)
    _pieces: SentPieces = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Use the state for the pieces of long messages."""
        self._pieces = SentPieces(self.state, PIECES_KEPT_S)

    # -- the protocol

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Send one message."""
        with as_delivery():
            try:
                return await self._deliver(outgoing)
            except ChatMigrated as error:
                await self.connection.moves.note(outgoing.address.platform_id, error.new_chat_id)
        with as_delivery():
            return await self._deliver(outgoing)

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """Telegram has no way to look a message up, and `Capabilities.repeat` says so."""
        raise NotImplementedError

    async def typing(self, address: Address, /) -> None:
        """Show that the agent is at work, unless that is shown."""
        now = trio.current_time()
        if now - self._typed.get(address, -TYPING_S) < TYPING_S:
            return
        self._typed = {one: at for one, at in self._typed.items() if now - at < TYPING_S} | {address: now}
        try:
            place = self._place(address)
            await self.connection.bot.send_chat_action(place.chat, "typing", message_thread_id=place.thread)
        except (TelegramError, DeliveryRejected) as error:
            _log.debug("telegram.typing_lost", reason=str(error))

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """Show nothing."""

    async def draft(self, address: Address, text: str, /) -> None:
        """Show a draft soon, or remove it."""
        if text.strip():
            self.drafts.show(address, text)
        else:
            await self.drafts.remove(address)

    async def open_dm(self, user_id: str, /) -> Address:
        """Return the direct chat of a user, who must have written to the bot before."""
        prefix, _, user = user_id.partition(":")
        number = number_of(user)
        if prefix != PREFIX or number is None or number <= 0:
            raise DeliveryRejected(f"{user_id} is no user of Telegram, whose ids are like {PREFIX}:123")
        with as_unavailable():
            try:
                await self.connection.bot.get_chat(number)
            except BadRequest as error:
                raise DeliveryRejected(
                    f"Telegram lets bots write only to people who wrote to them first: {error.message}"
                ) from error
        return Address(self.channel_type, str(number))

    # -- contents

    async def _deliver(self, outgoing: Outgoing) -> Receipt:
        place = self._place(outgoing.address, outgoing.in_reply_to)
        match outgoing.content:
            case TextContent() as content:
                return await self._send_text(outgoing, content, place)
            case EditContent(message_id, text, markdown):
                return await self._edit(outgoing.address, message_id, messages(text, markdown=markdown), None)
            case ReactionContent(message_id, emoji):
                return await self._react(place, message_id, emoji)
            case QuestionContent() as question:
                return await self._ask(outgoing, question, place)
            case CardEditContent(message_id, question):
                keyboard = await self.keyboards.made(question)
                said = titled(question.title, question.text)
                return await self._edit(outgoing.address, message_id, said[-1:], keyboard)
            case CardContent() as card:
                return await self._send_text(outgoing, TextContent(card.fallback_text), place)

    def _place(self, address: Address, reply_to: str | None = None) -> Place:
        thread = None if address.thread_id is None else number_of(address.thread_id)
        if address.thread_id is not None and thread is None:
            raise DeliveryRejected(f"{address.thread_id!r} is no topic of Telegram: their ids are numbers")
        target = None if reply_to is None else number_of(reply_to)
        reply = None if target is None else ReplyParameters(target, allow_sending_without_reply=True)
        return Place(self.connection.moves.chat(address.platform_id), thread, reply)

    async def _send_text(self, outgoing: Outgoing, content: TextContent, place: Place) -> Receipt:
        said = await _rendered(content)
        if not said and not outgoing.files:
            raise DeliveryRejected("the message has neither a text nor a file")
        _check_sizes(outgoing.files)
        draft = await self.drafts.take(outgoing.address)
        if draft is not None:
            if not outgoing.files and place.reply is None and said:
                return await self._in_place_of_draft(outgoing, place, draft, said)
            await self.drafts.delete(outgoing.address.platform_id, draft)
        return await self._send_parts(outgoing, self._parts(outgoing, place, said))

    def _parts(self, outgoing: Outgoing, place: Place, said: Sequence[Said]) -> Sequence[Part]:
        """Return the calls that show a text and files. A short text becomes the caption of the files."""
        caption: Said = ("", ())
        if outgoing.files and len(said) == 1 and _fits_caption(said[0][0]):
            [caption], said = said, ()
        parts = [partial(self._text, place, one, first=not number) for number, one in enumerate(said)]
        albums = [
            outgoing.files[at : at + MOST_IN_ALBUM] for at in range(0, len(outgoing.files), MOST_IN_ALBUM)
        ]
        for number, album in enumerate(albums):
            first = not number and not said
            parts.append(partial(self._album, place, album, caption if not number else ("", ()), first=first))
        return parts

    async def _in_place_of_draft(
        self, outgoing: Outgoing, place: Place, draft: int, said: Sequence[Said]
    ) -> Receipt:
        first: list[Part] = [partial(self._finish_draft, outgoing.address, place, draft, said[0])]
        rest = [partial(self._text, place, one, first=False) for one in said[1:]]
        return await self._send_parts(outgoing, [*first, *rest])

    async def _finish_draft(self, address: Address, place: Place, draft: int, said: Said) -> int:
        """Make an answer of a draft. Until it is one, the next start removes it."""
        try:
            await self._change(place.chat, draft, said, None)
        except TelegramError:
            self.drafts.restore(address, draft)
            raise
        await self.drafts.forget(address.platform_id, draft)
        return draft

    async def _ask(self, outgoing: Outgoing, question: QuestionContent, place: Place) -> Receipt:
        await self.drafts.remove(outgoing.address)
        keyboard = await self.keyboards.made(question)
        [*before, last] = titled(question.title, question.text)
        parts = [partial(self._text, place, one, first=not number) for number, one in enumerate(before)]
        parts.append(partial(self._text, place, last, first=not before, keyboard=keyboard))
        return await self._send_parts(outgoing, parts, last=True)

    async def _react(self, place: Place, message_id: str, emoji: str) -> Receipt:
        target = _target(message_id)
        plain = emoji.removesuffix("\ufe0f")
        try:
            await self.connection.bot.set_message_reaction(
                place.chat, target, [ReactionTypeEmoji(plain)] if plain else []
            )
        except BadRequest as error:
            if "REACTION_INVALID" not in error.message.upper():
                raise
            raise DeliveryRejected(
                f"Telegram has no reaction {emoji}; it has for example 👍 👎 ❤ 🔥 👏 🎉 🤔 😢 🙏 👌 👀 💯"
            ) from error
        return Receipt(None)

    async def _edit(
        self, address: Address, message_id: str, said: Sequence[Said], keyboard: InlineKeyboardMarkup | None
    ) -> Receipt:
        """Change a message.

        The rest of a longer text is sent as replies. Pieces that are left over are deleted.
        """
        place, target = self._place(address, message_id), _target(message_id)
        if not said:
            raise DeliveryRejected("the new text is empty")
        old = [int(one) for one in await self._pieces.of(address.platform_id, str(target))]
        for one, piece in zip(old, said, strict=False):
            await self._change(place.chat, one, piece, keyboard if piece is said[-1] else None)
        more = [await self._text(place, one) for one in said[len(old) :]]
        for one in old[len(said) :]:
            await self._delete(place.chat, one)
        await self._keep_pieces(address, [*old[: len(said)], *more], before=old)
        return Receipt(message_id)

    # -- calls

    async def _text(
        self, place: Place, said: Said, *, first: bool = True, keyboard: InlineKeyboardMarkup | None = None
    ) -> int:
        text, entities = said
        shown = await self.connection.bot.send_message(
            text=text, entities=entities, reply_markup=keyboard, **place.where(first=first)
        )
        return shown.message_id

    async def _album(self, place: Place, files: Sequence[OutgoingFile], said: Said, *, first: bool) -> int:
        """Send up to ten files. They are read from the disk while they are sent."""
        caption, entities = said
        common: dict[str, Any] = place.where(first=first) | {
            "write_timeout": UPLOAD_S,
            "read_timeout": UPLOAD_S,
        }
        with ExitStack() as stack:
            inputs = [
                InputFile(
                    stack.enter_context(file.path.open("rb")),
                    file.name,
                    attach=len(files) > 1,
                    read_file_handle=False,
                )
                for file in files
            ]
            if len(inputs) == 1:
                only: Any = inputs[0]
                shown = await self.connection.bot.send_document(
                    document=only,
                    caption=caption or None,
                    caption_entities=entities,
                    disable_content_type_detection=True,
                    **common,
                )
                return shown.message_id
            media = [_media(one, ("", ()) if number else said) for number, one in enumerate(inputs)]
            album = await self.connection.bot.send_media_group(media=media, **common)
            return album[0].message_id

    async def _change(
        self, chat: int | str, message: int, said: Said, keyboard: InlineKeyboardMarkup | None
    ) -> int:
        """Give a message another text. One that has it already, for example after a lost answer, is left."""
        text, entities = said
        bot = self.connection.bot
        try:
            await bot.edit_message_text(text, chat, message, entities=entities, reply_markup=keyboard)
        except BadRequest as error:
            if "no text in the message" in error.message.lower():
                await bot.edit_message_caption(chat, message, caption=text, caption_entities=entities)
            elif "not modified" not in error.message.lower():
                raise
        return message

    async def _delete(self, chat: int | str, message: int) -> None:
        try:
            await self.connection.bot.delete_message(chat, message)
        except BadRequest as error:
            _log.info("telegram.piece_left", chat=chat, reason=error.message)

    # -- messages of several parts

    async def _send_parts(self, outgoing: Outgoing, parts: Sequence[Part], *, last: bool = False) -> Receipt:
        """Send the parts that are not yet sent. Return a receipt for the first, or the last."""
        if len(parts) == 1:
            return self._receipt(outgoing.address, await parts[0]())
        ids = await self._sent(outgoing)
        for part in parts[len(ids) :]:
            ids.append(await part())
            await self._note(outgoing, ids[-1])
        await self._keep_pieces(outgoing.address, ids)
        return self._receipt(outgoing.address, ids[-1 if last else 0])

    def _receipt(self, address: Address, message: int) -> Receipt:
        chat = self.connection.moves.chat(address.platform_id)
        return Receipt(self.connection.moves.message_id(chat, message))

    async def _sent(self, outgoing: Outgoing) -> list[int]:
        """Return the ids of the parts that an earlier attempt has sent."""
        try:
            return [int(one) for one in await self.state.items(f"sent/{outgoing.message_out_id}"[:512])]
        except StateError as error:
            raise ChannelUnavailable(str(error)) from error

    async def _note(self, outgoing: Outgoing, message: int) -> None:
        try:
            await self.state.append(
                f"sent/{outgoing.message_out_id}"[:512], str(message), ttl_s=PIECES_KEPT_S
            )
        except StateError as error:  # a later attempt may send this part again
            _log.warning("telegram.state_failed", reason=str(error))

    async def _keep_pieces(self, address: Address, ids: Sequence[int], *, before: Sequence[int] = ()) -> None:
        await self._pieces.keep(address.platform_id, [*map(str, ids)], before=[*map(str, before)])


async def _rendered(content: TextContent) -> Sequence[Said]:
    if len(content.text) < LONG:
        return messages(content.text, markdown=content.markdown)
    return await trio.to_thread.run_sync(partial(messages, content.text, markdown=content.markdown))


def _fits_caption(text: str) -> bool:
    return len(text.encode("utf-16-le")) // 2 <= LONGEST_CAPTION


def _check_sizes(files: Sequence[OutgoingFile]) -> None:
    for file in files:
        if not file.size:
            raise DeliveryRejected(f"{file.name} is empty, and Telegram takes no empty files")
        if file.size > LARGEST_UPLOAD:
            raise DeliveryRejected(
                f"{file.name} has {file.size / 1e6:.0f} MB; Telegram takes "
                f"at most {LARGEST_UPLOAD // 1_000_000} MB from bots"
            )


def _media(file: InputFile, said: Said) -> InputMediaDocument:
    found: Any = file
    return InputMediaDocument(
        found, caption=said[0] or None, caption_entities=said[1], disable_content_type_detection=True
    )


def _target(message_id: str) -> int:
    number = number_of(message_id)
    if number is None:
        raise DeliveryRejected(f"{message_id!r} is no message of Telegram: their ids are numbers")
    return number
