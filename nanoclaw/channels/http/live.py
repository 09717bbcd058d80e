"""The hints of all chats, in memory: drafts, typing, and settled messages."""

from collections import deque
from collections.abc import Collection, Iterator

from attrs import Factory, define

from nanoclaw.channels.http.signal import Signal
from nanoclaw.channels.http.updates import Drafted, Hint

MOST_HINTS = 512
"""Hints that are kept. A client that is further behind has missed some, which may be lost anyway."""


@define(eq=False)
class Live:
    """Keeps the last draft of each thread, and the last other hints."""

    changed: Signal = Factory(Signal)
    """Tells of new hints and new entries."""
    number: int = 0
    """The number of the newest hint."""
    entries: int = 0
    """The number of entries that were stored or changed, so that nobody looks for them in vain."""
    _drafts: dict[tuple[str, str], tuple[int, Drafted]] = Factory(dict)
    _hints: deque[tuple[int, Hint]] = Factory(lambda: deque(maxlen=MOST_HINTS))

    def hint(self, hint: Hint) -> None:
        """Add a hint. A draft replaces the last one of its thread."""
        self.number += 1
        if not isinstance(hint, Drafted):
            self._hints.append((self.number, hint))
        elif hint.text:
            self._drafts[hint.chat, hint.thread] = (self.number, hint)
        elif self._drafts.pop((hint.chat, hint.thread), None) is not None:
            self._hints.append((self.number, hint))
        self.changed.tell()

    def entered(self, chat: str, thread: str) -> None:
        """Note that a thread has a new entry, which takes the place of its draft."""
        self._drafts.pop((chat, thread), None)
        self.entries += 1
        self.changed.tell()

    def drafts(self, chats: Collection[str]) -> Iterator[Drafted]:
        """Yield the drafts that chats show now."""
        yield from (draft for _, draft in self._drafts.values() if draft.chat in chats)

    def is_shown(self, draft: Drafted) -> bool:
        """Return True if the draft is what its thread shows now."""
        shown = self._drafts.get((draft.chat, draft.thread))
        return shown[1] == draft if shown else not draft.text

    def since(self, number: int, chats: Collection[str]) -> Iterator[Hint]:
        """Yield the hints of chats after a number, oldest first."""
        found = [*self._hints, *self._drafts.values()]
        found.sort(key=lambda each: each[0])
        yield from (hint for n, hint in found if n > number and hint.chat in chats)
