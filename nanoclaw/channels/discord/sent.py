"""Remembers which message of Discord is which piece of which message of the host.

Discord forgets a nonce after minutes, and does not show it in the history. This list outlives the process.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import structlog
from attrs import Factory, define, frozen

from nanoclaw.channels.state import ChannelState, StateError

MOST_MESSAGES = 200
"""Messages that are remembered for each chat."""
TTL_S = 7 * 86_400.0
DRAFTS = "drafts"
GONE = ""
"""In place of the first piece: this piece was deleted."""

_log = structlog.get_logger()


def nonce_of(message_out_id: str, number: int) -> str:
    """Return the key of a piece of a message. Discord takes at most 25 characters."""
    key = f"{message_out_id}/{number}".encode(errors="replace")
    return blake2b(key, digest_size=12).hexdigest()


@frozen
class _Sent:
    nonce: str
    id: str
    first: str
    """The id of the first piece of the same message, or `GONE`."""


@define(eq=False)
class SentMessages:
    """The messages that the bot has sent lately, by chat."""

    state: ChannelState | None
    _chats: dict[str, list[_Sent]] = Factory(dict)
    _drafts: dict[str, str] = Factory(dict)

    async def id_of(self, chat: str, nonce: str) -> str | None:
        """Return the id of a piece, if it was sent."""
        return next((each.id for each in await self._in(chat) if each.nonce == nonce), None)

    async def pieces_of(self, chat: str, first: str) -> Sequence[str]:
        """Return the ids of all pieces of a message, by the id of its first one."""
        return [each.id for each in await self._in(chat) if each.first == first] or [first]

    async def has(self, chat: str, id_: str) -> bool:
        """Return True if a message is known to be a piece of one of the host."""
        return any(each.id == id_ for each in await self._in(chat))

    async def add(self, chat: str, nonce: str, id_: str, first: str) -> None:
        """Remember a piece. If it cannot be written, it is remembered in memory."""
        await self._note(chat, _Sent(nonce, id_, first))

    async def remove(self, chat: str, id_: str) -> None:
        """Forget a piece that was deleted."""
        await self._note(chat, _Sent("", id_, GONE))

    async def _note(self, chat: str, sent: _Sent) -> None:
        self._chats[chat] = _with(await self._in(chat), sent)
        if self.state is not None:
            try:
                item = json.dumps([sent.nonce, sent.id, sent.first])
                await self.state.append(f"sent:{chat}", item, max_length=MOST_MESSAGES, ttl_s=TTL_S)
            except StateError as error:
                _log.warning("discord.sent_not_saved", chat=chat, reason=str(error))

    async def _in(self, chat: str) -> list[_Sent]:
        if chat not in self._chats:
            found = list[_Sent]()
            for item in await self.state.items(f"sent:{chat}") if self.state else ():
                sent = _read(item)
                found = found if sent is None else _with(found, sent)
            self._chats[chat] = found
        return self._chats[chat]

    # -- drafts --

    async def drafts(self) -> Mapping[str, str]:
        """Return the drafts that a former process left, by chat."""
        found = await self.state.get(DRAFTS) if self.state else None
        try:
            return {str(chat): str(id_) for chat, id_ in json.loads(found or "{}").items()}
        except (ValueError, AttributeError):
            return {}

    async def set_draft(self, chat: str, id_: str | None) -> None:
        """Remember the draft of a chat, or that there is none."""
        self._drafts.pop(chat, None)
        if id_ is not None:
            self._drafts[chat] = id_
        if self.state is not None:
            try:
                await self.state.set(DRAFTS, json.dumps(self._drafts))
            except StateError as error:
                _log.warning("discord.draft_not_saved", chat=chat, reason=str(error))


def _with(known: list[_Sent], sent: _Sent) -> list[_Sent]:
    """Return the newest pieces, after one was sent or deleted."""
    if sent.first == GONE:
        return [each for each in known if each.id != sent.id]
    return [*known, sent][-MOST_MESSAGES:]


def _read(item: str) -> _Sent | None:
    try:
        nonce, id_, first = json.loads(item)
        return _Sent(str(nonce), str(id_), str(first))
    except (ValueError, TypeError):
        return None
