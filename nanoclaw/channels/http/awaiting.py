"""Waits for the answer to a message, and returns its text as it is written."""

from collections.abc import Awaitable, Callable
from math import inf

import trio
from attrs import Factory, define

from nanoclaw.channels.http.completions import text_of
from nanoclaw.channels.http.rooms import Subscription, updates_within
from nanoclaw.channels.http.updates import Drafted, Settled, Update
from nanoclaw.channels.protocol import Outcome
from nanoclaw.store.transcript.entries import Entry

QUIET_S = 10.0
"""Seconds without news after which an answer is complete that is not settled. The hint may be lost."""
LATE_S = 2.0
"""Seconds that an answer may come after its message is settled. Foreign runners settle first."""
APART = "\n\n"
"""Stands between two messages of one answer."""


class NoAnswer(Exception):
    """The time limit is over."""


@define(eq=False)
class Awaiting:
    """The answer to one message. Its text is the messages that the agent sends until that is settled."""

    subscription: Subscription
    thread: str
    message_id: str | None
    """The id of the message. None: any message of the agent in the thread belongs to the answer."""
    files_at: str
    say: Callable[[str], Awaitable[None]]
    """Takes the next piece of the text."""
    drafts: Callable[[], bool] = lambda: True
    """Returns True if drafts of the thread are those of this answer."""
    outcome: Outcome | None = None
    """The outcome of the message, if it is settled."""
    text: str = ""
    """The text so far."""
    _current: str = ""
    """The part of the present message that was said."""
    _answered: bool = False
    _heard_at: float = Factory(trio.current_time)

    async def run(self, within_s: float, pinged_s: float, ping: Callable[[], Awaitable[None]]) -> None:
        """Say the whole answer. Call `ping` after each silence of `pinged_s`.

        Raises:
            NoAnswer: there is none within the time.
        """
        until = trio.current_time() + within_s
        while not self._complete():
            now = trio.current_time()
            if now >= until:
                raise NoAnswer
            wait_s = max(0.0, min(until, self._ends_at()) - now)
            found = await updates_within(self.subscription, min(wait_s, pinged_s))
            if found:
                self._heard_at = trio.current_time()
            elif wait_s > pinged_s:
                await ping()
            for each in found:
                await self._take(each)

    def _complete(self) -> bool:
        if self.outcome is not None and self._answered:
            return True
        return trio.current_time() >= self._ends_at()

    def _ends_at(self) -> float:
        """Return the time at which the answer counts as complete, if there is no news."""
        if self.outcome is not None:
            return self._heard_at + LATE_S
        return self._heard_at + QUIET_S if self._answered else inf

    async def _take(self, update: Update) -> None:
        if update.thread != self.thread:
            return
        match update:
            case Entry() if update.kind in {"message", "card"} and self._is_ours(update.in_reply_to):
                await self._final(text_of(update, self.files_at))
            case Drafted() if self.drafts():
                await self._draft(update.text.rstrip())
            case Settled() if update.message_id == self.message_id:
                self.outcome = update.outcome
            case _:
                pass

    def _is_ours(self, in_reply_to: str | None) -> bool:
        return self.message_id is None or in_reply_to in {None, self.message_id}

    async def _draft(self, text: str) -> None:
        """Say what a draft adds. One that does not begin with what was said is left for the message."""
        if len(text) > len(self._current) and text.startswith(self._current):
            await self._add(text[len(self._current) :])
            self._current = text

    async def _final(self, text: str) -> None:
        if text.startswith(self._current):
            await self._add(text[len(self._current) :])
        else:  # the text so far was another one, and cannot be taken back
            self._current = ""
            await self._add(text, apart=True)
        self._current, self._answered = "", True

    async def _add(self, piece: str, *, apart: bool = False) -> None:
        if not piece:
            return
        if self.text and (apart or not self._current):
            piece = APART + piece
        self.text += piece
        await self.say(piece)
