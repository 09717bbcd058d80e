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
    """The id of the first piece of the same message."""


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
        known = await self._in(chat)
        known.append(_Sent(nonce, id_, first))
        del known[:-MOST_MESSAGES]
        if self.state is not None:
            try:
                item = json.dumps([nonce, id_, first])
                await self.state.append(f"sent:{chat}", item, max_length=MOST_MESSAGES, ttl_s=TTL_S)
            except StateError as error:
                _log.warning("discord.sent_not_saved", chat=chat, reason=str(error))

    async def _in(self, chat: str) -> list[_Sent]:
        if chat not in self._chats:
            items = await self.state.items(f"sent:{chat}") if self.state else ()
            self._chats[chat] = [sent for item in items if (sent := _read(item)) is not None]
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


def _read(item: str) -> _Sent | None:
    try:
        nonce, id_, first = json.loads(item)
        return _Sent(str(nonce), str(id_), str(first))
    except (ValueError, TypeError):
        return None
