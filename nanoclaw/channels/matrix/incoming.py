"""Makes the host's events of what was read in a room.

It knows the latest messages, and asks the server for others.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.matrix.receiving import (
    Membership,
    Message,
    Reaction,
    Redaction,
    RemoteFile,
    Renamed,
    Seen,
    mentioned,
    read,
)
from nanoclaw.channels.media import Files
from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.records import (
    Address,
    ChatMessage,
    ChatRenamed,
    Deleted,
    Event,
    InboundEvent,
    Joined,
    Left,
    Reacted,
    ReplyTo,
)

MOST_KNOWN = 5_000
"""Messages that are remembered."""
LONGEST_QUOTE = 2_000
"""Characters of a message that are remembered, for those that answer it."""
LOOK_UP_S = 10.0
PREFIX = "matrix"


class Rooms(Protocol):
    """Knowledge of rooms and their users. `Server` implements it."""

    @property
    def user_id(self) -> str:
        """The account."""
        ...

    def is_group(self, room_id: str) -> bool:
        """Return True if a room has more than one user besides the account."""
        ...

    def room_name(self, room_id: str) -> str | None:
        """Return the name of a room."""
        ...

    def user_name(self, room_id: str, user: str) -> str:
        """Return the name of a user."""
        ...

    async def event(self, room_id: str, event_id: str) -> Mapping[str, Any] | None:
        """Return an event, or None if there is none."""
        ...


Fetch = Callable[[Files, RemoteFile], Awaitable[None]]
"""Fetches a file of a message."""


@frozen
class Known:
    """A message that was seen before."""

    sender: str
    text: str
    thread: str | None


@define(eq=False)
class Incoming:
    """Reads the events of one account's rooms."""

    channel: str
    """The channel's name in addresses."""
    rooms: Rooms
    fetch: Fetch
    _known: OrderedDict[str, Known] = Factory(OrderedDict)

    async def event_of(self, room_id: str, seen: Seen, files: Files) -> Event | None:  # noqa: PLR0911 -- kinds
        """Return the event for the host, or None for what does not concern it."""
        if isinstance(seen, Message):
            self._remember(seen)
        if seen.sender == self.rooms.user_id and not isinstance(seen, Membership):
            return None
        match seen:
            case Message(edited=None):
                return await self._said(room_id, seen, files)
            case Message():
                return await self._edited(room_id, seen)
            case Reaction():
                return await self._reacted(room_id, seen)
            case Redaction():
                return self._deleted(room_id, seen)
            case Renamed():
                return ChatRenamed(Address(self.channel, room_id), seen.event_id, seen.name)
            case Membership():
                return self._came_or_left(room_id, seen)
            case _:
                return None

    def remember(self, event_id: str, text: str, thread: str | None) -> None:
        """Remember a message that the account sent."""
        self._keep(event_id, Known(self.rooms.user_id, text[:LONGEST_QUOTE], thread))

    def is_of_another(self, event_id: str) -> bool:
        """Return True if a message is known to be of somebody else than the account."""
        known = self._known.get(event_id)
        return known is not None and known.sender != self.rooms.user_id

    # -- messages ----------------------------------------------------------------

    async def _said(self, room_id: str, seen: Message, files: Files) -> InboundEvent:
        answered = await self._answered(room_id, seen)
        for each in seen.files:
            await self.fetch(files, each)
        message = ChatMessage(
            seen.event_id,
            files.text(seen.text),
            self.rooms.user_name(room_id, seen.sender),
            _user(seen.sender),
            files.attachments,
            reply_to=answered,
            is_mention=self._is_mention(room_id, seen),
        )
        return self._event(room_id, seen.thread, seen.event_id, message)

    async def _edited(self, room_id: str, seen: Message) -> InboundEvent | None:
        """Return an edit, if its author may make it."""
        target = seen.edited or ""
        before = await self._look_up(room_id, target)
        if before is None or before.sender != seen.sender or before.text == seen.text[:LONGEST_QUOTE]:
            return None
        self._keep(target, Known(before.sender, seen.text[:LONGEST_QUOTE], before.thread))
        name, user = self.rooms.user_name(room_id, seen.sender), _user(seen.sender)
        mention = self._is_mention(room_id, seen)
        message = ChatMessage(target, seen.text, name, user, is_mention=mention)
        return self._event(room_id, before.thread, target, message, seen.event_id)

    def _event(
        self, room_id: str, thread: str | None, event_id: str, message: ChatMessage, version: str = ""
    ) -> InboundEvent:
        return InboundEvent(
            Address(self.channel, room_id, thread),
            event_id,
            message,
            version,
            self.rooms.room_name(room_id),
            self.rooms.is_group(room_id),
        )

    def _is_mention(self, room_id: str, seen: Message) -> bool:
        """Return True if a message mentions the account, or answers it."""
        me = self.rooms.user_id
        answered = self._known.get(seen.reply_to or "")
        if answered is not None and answered.sender == me:
            return True
        localpart = me.partition(":")[0]
        return mentioned(seen, me, (self.rooms.user_name(room_id, me), localpart))

    async def _answered(self, room_id: str, seen: Message) -> ReplyTo | None:
        if seen.reply_to is None:
            return None
        found = await self._look_up(room_id, seen.reply_to)
        if found is None:
            return ReplyTo("somebody", "", seen.reply_to)
        return ReplyTo(self.rooms.user_name(room_id, found.sender), found.text, seen.reply_to)

    # -- what happens to messages ------------------------------------------------

    async def _reacted(self, room_id: str, seen: Reaction) -> Reacted:
        target = await self._look_up(room_id, seen.target)
        return Reacted(
            Address(self.channel, room_id, target.thread if target else None),
            seen.event_id,
            seen.target,
            seen.emoji,
            self.rooms.user_name(room_id, seen.sender),
            _user(seen.sender),
        )

    def _deleted(self, room_id: str, seen: Redaction) -> Deleted:
        known = self._known.get(seen.target)
        address = Address(self.channel, room_id, known.thread if known else None)
        return Deleted(address, seen.target, _user(seen.sender))

    def _came_or_left(self, room_id: str, seen: Membership) -> Joined | Left | None:
        is_in, was_in = seen.membership == "join", seen.before == "join"
        if is_in == was_in:
            return None
        address = Address(self.channel, room_id)
        is_me = seen.user == self.rooms.user_id
        kind = Joined if is_in else Left
        return kind(address, seen.event_id, _user(seen.user), seen.name, is_me=is_me)

    # -- known messages ----------------------------------------------------------

    def _remember(self, seen: Message) -> None:
        if seen.edited is None:
            self._keep(seen.event_id, Known(seen.sender, seen.text[:LONGEST_QUOTE], seen.thread))

    def _keep(self, event_id: str, known: Known) -> None:
        self._known[event_id] = known
        self._known.move_to_end(event_id)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def _look_up(self, room_id: str, event_id: str) -> Known | None:
        """Return a message, from the server if it is not known. None if it cannot be had soon."""
        if event_id in self._known:
            return self._known[event_id]
        with trio.move_on_after(LOOK_UP_S):
            try:
                seen = read(await self.rooms.event(room_id, event_id))
            except DeliveryRejected:
                return None
            if isinstance(seen, Message):
                self._keep(event_id, Known(seen.sender, seen.text[:LONGEST_QUOTE], seen.thread))
        return self._known.get(event_id)


def _user(user: str) -> str:
    return f"{PREFIX}:{user}"
