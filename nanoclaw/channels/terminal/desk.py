"""A desk: a front end with the lines that were said at it, and what became of them.

The host has one for its own terminal; `nanoclaw chat` has one whose lines go over the control socket.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

import trio
from attrs import Factory, define

from nanoclaw.records import NotAccepted, Routed
from nanoclaw.seams import new_id


class Speaker(Protocol):
    """Takes what a person says."""

    async def say(self, text: str) -> Routed:
        """Offer one line as a message; returns when it is on disk.

        Raises:
            NotAccepted: it could not be stored.
        """
        ...


class FrontEnd(Protocol):
    """A place where lines come from and replies are shown."""

    async def read(self, speaker: Speaker, /) -> None:
        """Say each line to the speaker; return at the end of input."""
        ...

    async def show(self, text: str) -> None:
        """Show a reply; raises OSError where nobody can see it any more."""
        ...

    def typing(self, *, on: bool) -> None:
        """Show that the agent is at work, or no longer."""
        ...


@define(eq=False)
class Line:
    """A message that was said and is not done with, or that came to nothing."""

    text: str
    answered: bool = False
    failed: str | None = None
    """Why there will be no answer."""


@define(eq=False)
class Desk:
    """Keeps the lines of one front end. `offer` takes a line's id and text to the host, as `Speaker.say`."""

    front: FrontEnd
    random: Random
    offer: "Callable[[Desk, str, str], Awaitable[Routed]]"
    lines: dict[str, Line] = Factory(dict)
    """In the order in which they were said."""
    _working: bool = False
    _changed: trio.Event = Factory(trio.Event)

    async def say(self, text: str) -> Routed:
        """Offer one line as a message; returns when it is on disk.

        Raises:
            NotAccepted: it could not be stored.
        """
        id_ = new_id("line", self.random)
        line = self.lines[id_] = Line(text)
        try:
            routed = await self.offer(self, id_, text)
        except NotAccepted:
            del self.lines[id_]
            raise
        line.failed = line.failed or routed.dropped
        self.change()
        return routed

    # -- what is shown here

    async def show(self, text: str, answers: str | None) -> None:
        """Show a message, which answers the line of that id; raises OSError where nobody can see it."""
        await self.front.show(text)
        line = self.lines.get(answers or "")
        if line is not None:
            line.answered = True
        self.change()

    def work(self) -> None:
        """The agent is at work."""
        self._working = True
        self.front.typing(on=True)

    def settled(self, id_: str, failed: str | None) -> None:
        """A line is done with; `failed` says why there will be no answer."""
        if failed is None:
            self.lines.pop(id_, None)
        elif id_ in self.lines:
            self.lines[id_].failed = failed
        self.change()

    # -- what became of the lines

    def change(self) -> None:
        """Something became of a line. Nobody tells when the agent rests: it does when no line is open."""
        self._working = self._working and any(self._open())
        self.front.typing(on=self._working)
        self._changed.set()
        self._changed = trio.Event()

    async def settle(self) -> None:
        """Wait until every line is done with."""
        while any(self._open()):
            await self._changed.wait()

    def _open(self) -> list[Line]:
        return [line for line in self.lines.values() if line.failed is None]

    def unanswered(self) -> list[Line]:
        """Lines without an answer, or whose answer was that there is none."""
        return [line for line in self.lines.values() if line.failed is not None or not line.answered]
