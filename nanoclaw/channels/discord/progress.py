"""Remembers how far the host has the events of Discord, so that a new process continues there.

A session of the gateway is resumed after its last event before which the host has all. If Discord has
forgotten the session, the messages after the last accepted one of each chat are fetched.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence

import structlog
import trio
from attrs import Factory, define

from nanoclaw.channels.discord.values import Session
from nanoclaw.channels.state import ChannelState, StateError

KEY = "progress"
MOST_CHATS = 2_000
"""Limit of chats whose missed messages are fetched: those with the latest messages."""
SAVE_S = 1.0
"""Seconds between two writes. After a crash, the events that were accepted since then are offered again."""

_log = structlog.get_logger()


@define(eq=False)
class Progress:
    """The session of the gateway and the last message of each chat, on disk about a second later."""

    state: ChannelState | None
    _session: Session | None = None
    _seen: OrderedDict[str, str] = Factory(OrderedDict)
    _open: dict[int, None] = Factory(dict)
    """The events that the host does not have yet, by their sequence numbers."""
    _last: int = 0
    _changed: trio.Event = Factory(trio.Event)

    async def load(self) -> None:
        """Read what was saved. Raises StateError."""
        saved = await self.state.get(KEY) if self.state else None
        try:
            found = json.loads(saved or "{}")
            session, seen = found.get("session"), found.get("seen") or {}
            self._seen = OrderedDict((str(chat), str(int(last))) for chat, last in seen.items())
            if session:
                self.begin_session(Session(str(session[0]), str(session[1]), int(session[2])))
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            _log.warning("discord.progress_unreadable", reason=str(error))

    @property
    def session(self) -> Session | None:
        """The session, with the last event before which the host has all."""
        if self._session is None:
            return None
        return Session(self._session.id, self._session.url, self._until())

    def _until(self) -> int:
        return min(self._open) - 1 if self._open else self._last

    def begin_session(self, session: Session) -> None:
        """Begin a session. Events of former ones do not count any more."""
        self._session, self._last = session, session.sequence
        self._open.clear()
        self._changed.set()

    def begin(self, sequence: int) -> None:
        """Note that an event has come."""
        self._open[sequence] = None
        self._last = max(self._last, sequence)

    def done(self, sequence: int, session: Session | None) -> None:
        """Note that the host has an event of a session, or that it needs none."""
        if session is self._session:
            self._open.pop(sequence, None)
            self._changed.set()

    @property
    def current(self) -> Session | None:
        """The session to name in `done`."""
        return self._session

    # -- the last messages of chats --

    def saw(self, chat: str, message_id: str) -> None:
        """Note that the host has a message of a chat. An older one changes nothing."""
        if not self.has(chat, message_id) and message_id.isdigit():
            self._seen[chat] = message_id
            self._seen.move_to_end(chat)
            while len(self._seen) > MOST_CHATS:
                self._seen.popitem(last=False)
            self._changed.set()

    def has(self, chat: str, message_id: str) -> bool:
        """Return True if the host has this message, or a later one of the chat."""
        last = self._seen.get(chat)
        return last is not None and message_id.isdigit() and int(message_id) <= int(last)

    def last(self, chat: str) -> str | None:
        """Return the last message of a chat that the host has."""
        return self._seen.get(chat)

    def forget(self, chat: str) -> None:
        """Forget a chat that is gone."""
        self._seen.pop(chat, None)

    @property
    def chats(self) -> Sequence[str]:
        """The chats whose messages the host wants, those with the latest messages last."""
        return tuple(self._seen)

    # -- saving --

    async def keep_saving(self) -> None:
        """Save changes until cancelled, and once more then."""
        try:
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                await self.save()
                await trio.sleep(SAVE_S)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SAVE_S):
                await self.save()

    async def save(self) -> None:
        """Save now. An error is logged: then more is offered again after a crash."""
        if self.state is None:
            return
        at = self.session
        session = at and [at.id, at.url, at.sequence]
        try:
            await self.state.set(KEY, json.dumps({"session": session, "seen": self._seen}))
        except StateError as error:
            _log.warning("discord.progress_not_saved", reason=str(error))
