"""Reads updates of Telegram: from JSON to what the channel offers. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve, frozen
from telegram import (
    CallbackQuery,
    Chat,
    Message,
    MessageEntity,
    MessageReactionUpdated,
    ReactionType,
    ReactionTypeCustomEmoji,
    ReactionTypeEmoji,
    Update,
    User,
)

from nanoclaw.channels.telegram.moves import Moves
from nanoclaw.records import Address, ChatMessage, ChatRenamed, InboundEvent, Joined, Left, Reacted, ReplyTo

PREFIX = "tg"
"""The prefix of the ids of users."""
LONGEST_QUOTE = 2_000
LONGEST_NAME = 200


class BadUpdate(ValueError):
    """An update that cannot be read. The text says why."""


@frozen
class RemoteFile:
    """A file of a message, still at Telegram."""

    kind: str
    """The word for the agent, such as `image`."""
    name: str
    id: str
    size: int | None
    unique: str = ""
    """An id that is the same for every bot, and differs for other content."""


@frozen
class Heard:
    """A message or an edit, and its files."""

    event: InboundEvent
    files: Sequence[RemoteFile] = ()
    album: str | None = None
    """The id that the messages of an album have in common."""
    sent_at: float | None = None
    """The date of the message, in seconds since 1970."""


@frozen
class Pressed:
    """A press of a button."""

    address: Address
    press_id: str
    data: str
    user_id: str


@frozen
class Moved:
    """A group became a supergroup."""

    old: str
    new: int


@frozen
class Standing:
    """The bot was let into a chat, or taken out of it."""

    address: Address
    status: str
    by: str


Read = Heard | Reacted | ChatRenamed | Joined | Left | Pressed | Moved | Standing


@frozen
class Reader:
    """Reads the updates of one bot."""

    channel_type: str
    bot_id: int
    bot_name: str
    moves: Moves

    def read(self, raw: object) -> Sequence[Read]:
        """Return what an update tells, in order. One of a kind that does not matter gives nothing.

        Raises:
            BadUpdate: it is not what the Bot API documents.
        """
        update_id(raw)
        try:
            update = Update.de_json(raw, None)  # type: ignore[arg-type]  # checked to be a dict
            return list(self._read(update))
        except Exception as error:  # the SDK and what it made may raise anything
            raise BadUpdate(f"{type(error).__name__}: {error}") from error

    def _read(self, update: Update) -> Iterator[Read]:
        if update.message is not None:
            yield from self._message(update.message, "")
        elif update.edited_message is not None:
            edited = update.edited_message
            yield from self._message(edited, f"{_stamp(edited)}-{update.update_id}")
        elif update.callback_query is not None:
            yield from self._press(update.callback_query)
        elif update.message_reaction is not None:
            yield from self._reactions(update.message_reaction, update.update_id)
        elif update.my_chat_member is not None:
            change = update.my_chat_member
            yield Standing(
                self.address(change.chat, None),
                change.new_chat_member.status,
                change.from_user.full_name,
            )

    def address(self, chat: Chat, thread: int | None) -> Address:
        """Return the address of a chat."""
        return Address(
            self.channel_type, self.moves.platform_id(chat.id), None if thread is None else str(thread)
        )

    # -- messages

    def _message(self, message: Message, version: str) -> Iterator[Read]:
        if message.migrate_to_chat_id is not None:
            yield Moved(str(message.chat.id), message.migrate_to_chat_id)
            return
        if message.migrate_from_chat_id is not None:
            yield Moved(str(message.migrate_from_chat_id), message.chat.id)
            return
        yield from self._changes(message)
        files, text = list(_files(message)), _text(message)
        if not files and not text:
            return
        said = self._said(message, text)
        event = InboundEvent(
            self.address(message.chat, thread_of(message)),
            said.id,
            said,
            version,
            _chat_name(message.chat),
            message.chat.type != Chat.PRIVATE,
        )
        album = None if version else message.media_group_id
        yield Heard(event, files, album, message.date.timestamp())

    def _changes(self, message: Message) -> Iterator[ChatRenamed | Joined | Left]:
        """Yield what a message of Telegram itself says about its chat."""
        address = self.address(message.chat, None)
        event_id = self.moves.message_id(message.chat.id, message.message_id)
        if message.new_chat_title:
            yield ChatRenamed(address, event_id, message.new_chat_title)
        for user in message.new_chat_members:
            yield Joined(address, event_id, user_id(user), _name(user), user.id == self.bot_id)
        if message.left_chat_member is not None:
            user = message.left_chat_member
            yield Left(address, event_id, user_id(user), _name(user), user.id == self.bot_id)

    def _said(self, message: Message, text: str) -> ChatMessage:
        sender, sender_id = _sender(message)
        return ChatMessage(
            self.moves.message_id(message.chat.id, message.message_id),
            text,
            sender,
            sender_id,
            reply_to=self._reply(message),
            is_from_me=message.from_user is not None and message.from_user.id == self.bot_id,
            is_mention=self._mentions(message),
        )

    def _reply(self, message: Message) -> ReplyTo | None:
        target = message.reply_to_message
        if target is None or target.forum_topic_created is not None:
            return None
        text = message.quote.text if message.quote else _text(target)
        id_ = self.moves.message_id(target.chat.id, target.message_id)
        return ReplyTo(_sender(target)[0], text[:LONGEST_QUOTE], id_)

    def _mentions(self, message: Message) -> bool:
        """Return whether the bot is named, or answered to."""
        target = message.reply_to_message
        if target is not None and target.from_user is not None and target.from_user.id == self.bot_id:
            return True
        found = {**message.parse_entities(), **message.parse_caption_entities()}
        return any(self._names(entity, text) for entity, text in found.items())

    def _names(self, entity: MessageEntity, text: str) -> bool:
        name = f"@{self.bot_name}".lower()
        match entity.type:
            case MessageEntity.MENTION:
                return text.lower() == name
            case MessageEntity.BOT_COMMAND:
                return text.lower().endswith(name)
            case MessageEntity.TEXT_MENTION:
                return entity.user is not None and entity.user.id == self.bot_id
            case _:
                return False

    # -- presses and reactions

    def _press(self, press: CallbackQuery) -> Iterator[Pressed]:
        if press.message is None or press.data is None:  # it was found through a search, or is of a game
            return
        thread = thread_of(press.message) if isinstance(press.message, Message) else None
        yield Pressed(
            self.address(press.message.chat, thread), press.id, press.data, user_id(press.from_user)
        )

    def _reactions(self, change: MessageReactionUpdated, update: int) -> Iterator[Reacted]:
        if change.user is None:  # an anonymous administrator
            return
        before, after = (
            [_emoji(one) for one in list_] for list_ in (change.old_reaction, change.new_reaction)
        )
        changes = [(one, False) for one in after if one not in before]
        changes += [(one, True) for one in before if one not in after]
        for number, (emoji, removed) in enumerate(changes):
            yield Reacted(
                self.address(change.chat, None),
                f"{update}-{number}",
                self.moves.message_id(change.chat.id, change.message_id),
                emoji,
                _name(change.user),
                user_id(change.user),
                removed,
            )


def update_id(raw: object) -> int:
    """Return the id of an update.

    Raises:
        BadUpdate: it has none.
    """
    found = raw.get("update_id") if isinstance(raw, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise BadUpdate(f"an update has a whole number update_id, got {raw!r:.100}")
    return found


def thread_of(message: Message) -> int | None:
    """Return the topic of a message. Replies in groups without topics have such numbers, too."""
    return message.message_thread_id if message.is_topic_message else None


def user_id(user: User) -> str:
    """Return the id of a user for the host."""
    return f"{PREFIX}:{user.id}"


def in_one(album: Sequence[Heard]) -> Heard:
    """Return the messages of an album as one, with the id and the text of the first that has one."""
    first = album[0]
    texts = [each.event.message.text for each in album if each.event.message.text]
    said = evolve(
        first.event.message,
        text="\n".join(texts),
        is_mention=any(each.event.message.is_mention for each in album),
    )
    files = [file for each in album for file in each.files]
    return evolve(first, event=evolve(first.event, message=said), files=files)


def _stamp(message: Message) -> int:
    return 0 if message.edit_date is None else int(message.edit_date.timestamp())


def _chat_name(chat: Chat) -> str | None:
    return (chat.title or chat.full_name or "")[:LONGEST_NAME] or None


def _name(user: User) -> str:
    return user.full_name[:LONGEST_NAME] or str(user.id)


def _sender(message: Message) -> tuple[str, str | None]:
    """Return the name and the id of the author. A chat that speaks for its administrators has no id."""
    if message.sender_chat is not None:
        return (message.sender_chat.title or "the group")[:LONGEST_NAME], None
    if message.from_user is None:
        return "somebody", None
    return _name(message.from_user), user_id(message.from_user)


def _emoji(reaction: ReactionType) -> str:
    match reaction:
        case ReactionTypeEmoji():
            return reaction.emoji
        case ReactionTypeCustomEmoji():
            return f"custom emoji {reaction.custom_emoji_id}"[:100]
        case _:
            return "⭐"


def _text(message: Message) -> str:
    """Return what a message says, and in words what it shows besides files."""
    parts = [message.text or message.caption or "", *_in_words(message)]
    if message.forward_origin is not None and any(parts):
        parts.append("[forwarded]")
    return "\n".join(part for part in parts if part)


def _in_words(message: Message) -> Iterator[str]:
    if message.venue:
        place = message.venue.location
        yield f"[venue: {message.venue.title}, {message.venue.address}; {place.latitude}, {place.longitude}]"
    elif message.location:
        yield f"[location: {message.location.latitude}, {message.location.longitude}]"
    if message.contact:
        name = f"{message.contact.first_name} {message.contact.last_name or ''}".strip()
        yield f"[contact: {name}, {message.contact.phone_number}]"
    if message.poll:
        options = "; ".join(option.text for option in message.poll.options)
        yield f"[poll: {message.poll.question} Options: {options}]"
    if message.dice:
        yield f"[{message.dice.emoji} {message.dice.value}]"
    if message.sticker and message.sticker.emoji:
        yield f"[sticker {message.sticker.emoji}]"


def _files(message: Message) -> Iterator[RemoteFile]:
    number = message.message_id
    if message.photo:
        best = max(message.photo, key=lambda one: one.width * one.height)
        yield _file("image", f"photo-{number}.jpg", best)
    if message.animation:
        yield _file("video", message.animation.file_name or f"animation-{number}.mp4", message.animation)
    elif message.document:
        yield _file("file", message.document.file_name or f"document-{number}", message.document)
    if message.voice:
        yield _file("voice", f"voice-{number}.ogg", message.voice)
    if message.audio:
        yield _file("audio", message.audio.file_name or f"audio-{number}.mp3", message.audio)
    if message.video:
        yield _file("video", message.video.file_name or f"video-{number}.mp4", message.video)
    if message.video_note:
        yield _file("video", f"video-note-{number}.mp4", message.video_note)
    if message.sticker:
        yield _file("sticker", f"sticker-{number}.{_sticker_kind(message)}", message.sticker)


def _file(kind: str, name: str, found: Any) -> RemoteFile:
    return RemoteFile(kind, name[:LONGEST_NAME], found.file_id, found.file_size, found.file_unique_id)


def _sticker_kind(message: Message) -> str:
    sticker = message.sticker
    if sticker is not None and sticker.is_animated:
        return "tgs"
    return "webm" if sticker is not None and sticker.is_video else "webp"
