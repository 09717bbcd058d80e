"""Groups that became supergroups: Telegram gives them another id, and counts their messages anew.

The host keeps the first id, so that wirings, members and sessions stay. Messages of the new chat have ids
with an `s`, which tell them from those of the old one.
"""

import json

import structlog
from attrs import Factory, define

from nanoclaw.channels.state import ChannelState, StateError

KEY = "moved"
MOVED = "s"

_log = structlog.get_logger()


@define(eq=False)
class Moves:
    """The groups that have moved. They are kept in the channel's state."""

    state: ChannelState
    _new: dict[str, int] = Factory(dict)
    _old: dict[int, str] = Factory(dict)
    _kept: dict[str, int] = Factory(dict)

    async def load(self) -> None:
        """Read them."""
        found: dict[str, int] = json.loads(await self.state.get(KEY) or "{}")
        self._new, self._old, self._kept = dict(found), {new: old for old, new in found.items()}, found

    def learn(self, old: str, new: int) -> None:
        """Use a move from now on, before it is kept."""
        self._new[old], self._old[new] = new, old

    async def note(self, old: str, new: int) -> None:
        """Use and keep a move."""
        self.learn(old, new)
        if self._kept == self._new:
            return
        _log.info("telegram.group_moved", chat=old, to=new)
        try:
            await self.state.set(KEY, json.dumps(self._new))
            self._kept = dict(self._new)
        except StateError as error:  # Telegram says it again at the next message
            _log.warning("telegram.state_failed", reason=str(error))

    def chat(self, platform_id: str) -> int | str:
        """Return the id of a chat for Telegram."""
        return self._new.get(platform_id) or (int(platform_id) if _is_number(platform_id) else platform_id)

    def platform_id(self, chat: int) -> str:
        """Return the id of a chat for the host."""
        return self._old.get(chat) or str(chat)

    def message_id(self, chat: int | str, message: int) -> str:
        """Return the id of a message for the host."""
        return f"{MOVED if chat in self._old else ''}{message}"


def number_of(message_id: str) -> int | None:
    """Return the id of a message for Telegram, or None if it is none of this network."""
    number = message_id.removeprefix(MOVED)
    return int(number) if _is_number(number) else None


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 20  # noqa: PLR2004 -- 64 bits
