"""Remembers the chats whose events cannot be stored, so that the log and the status show it."""

import structlog
import trio
from attrs import Factory, define, frozen

from nanoclaw.records import Address

SHOWN_S = 600.0
"""Seconds for which a refusal is shown. A network that offers the event again renews it."""

_log = structlog.get_logger()


@frozen
class _Refusal:
    reason: str
    at: float


@define(eq=False)
class Refused:
    """The last refusal of each chat, until one of its events is taken. Only the router writes it."""

    _by_chat: dict[str, _Refusal] = Factory(dict)

    def note(self, address: Address, reason: str) -> None:
        """Note that an event of this chat could not be stored. The first in a while is logged."""
        self._forget_old()
        chat = _chat(address)
        if chat not in self._by_chat:
            _log.warning("routing.refused", chat=chat, reason=reason)
        self._by_chat[chat] = _Refusal(reason, trio.current_time())

    def clear(self, address: Address) -> None:
        """Note that an event of this chat was taken."""
        if self._by_chat:
            self._by_chat.pop(_chat(address), None)

    def lines(self) -> tuple[str, ...]:
        """Return a sentence for each chat."""
        self._forget_old()
        return tuple(f"{chat}: {each.reason}" for chat, each in self._by_chat.items())

    def _forget_old(self) -> None:
        since = trio.current_time() - SHOWN_S
        self._by_chat = {chat: each for chat, each in self._by_chat.items() if each.at > since}


def _chat(address: Address) -> str:
    return f"{address.channel_type}:{address.platform_id}"
