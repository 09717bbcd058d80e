"""Turns what Discord sends into the host's events. Nothing here waits or keeps state.

Every function raises `Unreadable` for JSON that does not fit, and returns None for what is of no interest.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from nanoclaw.channels.discord.wire import (
    MESSAGES,
    Gone,
    Interaction,
    Member,
    Message,
    Reaction,
    Unreadable,
    User,
    read,
)
from nanoclaw.records import (
    Address,
    ChatMessage,
    Clicked,
    Deleted,
    InboundEvent,
    Reacted,
    ReplyTo,
)

PREFIX = "discord"
"""The prefix of users' ids."""
LONGEST_NAME = 200
LONGEST_QUOTE = 2_000
_MENTION = re.compile(r"<@!?(\d{1,20})>")
_EMOJI = re.compile(r"<a?(:\w{1,32}:)\d{1,20}>")


@frozen
class Me:
    """The bot's own account."""

    id: str
    name: str
    application_id: str


@frozen
class Place:
    """A chat or thread of Discord in the host's words."""

    address: Address
    name: str | None
    """The name of the chat."""
    is_group: bool
    own_roles: frozenset[str] = frozenset()
    """The ids of the bot's own roles in the server."""


def user_id(id_: str) -> str:
    """Return the host's id of a user."""
    return f"{PREFIX}:{id_}"


def channel_of(data: Mapping[str, Any]) -> str:
    """Return the id of the channel of an event. Raise `Unreadable` if it has none."""
    found = data.get("channel_id") if isinstance(data, Mapping) else None
    if not isinstance(found, str) or not found.isascii() or not found.isdigit() or len(found) > 20:  # noqa: PLR2004 -- 64 bits
        raise Unreadable(f"an event of Discord without a channel: {found!r:.80}")
    return found


def message_in(data: object) -> Message:
    """Return a message of the network."""
    return read(Message, data)


def message_event(message: Message, place: Place, me: Me, *, edited: bool = False) -> InboundEvent | None:
    """Return the event of a message, without its files. Messages of bots and the network are ignored."""
    author = message.author
    if author is None or author.bot or message.webhook_id or message.type not in MESSAGES:
        return None
    if message.content is None or (edited and not message.edited_timestamp):
        return None
    said = ChatMessage(
        message.id,
        readable(message.content, (*message.mentions, User(me.id, me.name))),
        _name(author, message.member),
        user_id(author.id),
        reply_to=_reply(message),
        is_mention=_mentions(message, place, me),
    )
    version = message.edited_timestamp if edited and message.edited_timestamp else ""
    return InboundEvent(
        place.address, message.id, said, version, chat_name=place.name, is_group=place.is_group
    )


def readable(text: str, users: Sequence[User]) -> str:
    """Return a text in which mentions and emoji of servers have the form that users see."""
    names = {one.id: one.name for one in users}
    text = _MENTION.sub(lambda found: f"@{names[found[1]]}" if found[1] in names else found[0], text)
    return _EMOJI.sub(r"\1", text)


def deletions(data: object, place: Place) -> Sequence[Deleted]:
    """Return the events of deleted messages."""
    gone = read(Gone, data)
    ids = gone.ids if gone.id is None else (gone.id,)
    return [Deleted(place.address, id_) for id_ in ids if id_]


def reaction_event(data: object, place: Place, me: Me, *, removed: bool) -> Reacted | None:
    """Return the event of a reaction. The bot's own are ignored."""
    reaction = read(Reaction, data)
    emoji = reaction.emoji.name or reaction.emoji.id
    if reaction.user_id == me.id or not emoji:
        return None
    member = reaction.member
    by = (member.user if member else None) or User(reaction.user_id)
    kind = "removed" if removed else "added"
    name = _name(by, member) if by.username else (place.name if not place.is_group else None) or by.id
    return Reacted(
        place.address,
        f"{reaction.message_id}:{reaction.user_id}:{emoji}:{kind}"[:LONGEST_NAME],
        reaction.message_id,
        emoji[:100],
        name,
        user_id(reaction.user_id),
        removed=removed,
    )


def interaction_in(data: object) -> Interaction:
    """Return an interaction of the network."""
    return read(Interaction, data)


def click_event(interaction: Interaction, place: Place, question_id: str, value: str) -> Clicked:
    """Return the event of a pressed button."""
    by = _by(interaction)
    return Clicked(place.address, interaction.id, question_id, value, user_id(by.id))


def command_event(interaction: Interaction, place: Place) -> InboundEvent:
    """Return the event of a command with a question. It counts as a mention."""
    by = _by(interaction)
    said = ChatMessage(
        interaction.id, asked(interaction), _name(by, interaction.member), user_id(by.id), is_mention=True
    )
    return InboundEvent(place.address, interaction.id, said, chat_name=place.name, is_group=place.is_group)


def asked(interaction: Interaction) -> str:
    """Return the text of a command's only option."""
    options = interaction.data.options if interaction.data else ()
    return str(options[0].value) if options and options[0].value is not None else ""


def kind_of(content_type: str | None) -> str:
    """Return the kind of a file for the agent."""
    kind = (content_type or "").partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"


def _by(interaction: Interaction) -> User:
    if interaction.by is None:
        raise Unreadable(f"an interaction of Discord without a user: {interaction.id:.80}")
    return interaction.by


def _name(user: User, member: Member | None) -> str:
    return ((member.nick if member else None) or user.name)[:LONGEST_NAME] or user.id


def _reply(message: Message) -> ReplyTo | None:
    quoted = message.referenced_message
    if quoted is None:
        return None
    author = quoted.author.name if quoted.author else "?"
    return ReplyTo(author[:LONGEST_NAME], quoted.content[:LONGEST_QUOTE], quoted.id)


def _mentions(message: Message, place: Place, me: Me) -> bool:
    quoted = message.referenced_message
    answers_me = quoted is not None and quoted.author is not None and quoted.author.id == me.id
    named = any(one.id == me.id for one in message.mentions)
    return named or answers_me or not place.own_roles.isdisjoint(message.mention_roles)
