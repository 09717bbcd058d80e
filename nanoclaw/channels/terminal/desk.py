"""The desk: tracks the lines that a front end has sent, and their outcomes.

The host has a desk for its own terminal. `nanoclaw chat` has one whose lines go over the control socket.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Protocol

import trio
from attrs import Factory, define

from nanoclaw.channels.terminal.showing import Display
from nanoclaw.channels.terminal.words import HELP, HELP_LINE
from nanoclaw.records import NotAccepted, Routed
from nanoclaw.system.ids import new_id


class NotConfirmed(NotAccepted):
    """A line was sent, and nobody has said that it is stored. The text says why."""


class Speaker(Protocol):
    """Takes lines of a person."""

    async def say(self, text: str) -> Routed:
        """Offer one line as a message, and return when it is on disk.

        Raises:
            NotAccepted: the line could not be stored.
        """
        ...


class FrontEnd(Protocol):
    """Reads lines and shows replies."""

    async def read(self, speaker: Speaker, /) -> None:
        """Pass each line to the speaker. Return at the end of input."""
        ...

    async def show(self, text: str) -> None:
        """Show a reply. Raise OSError if the output is closed."""
        ...

    def typing(self, *, on: bool) -> None:
        """Show that the agent is at work, or no longer."""
        ...

    def draft(self, text: str) -> None:
        """Show the text so far of an answer in place of the last one. An empty text removes it.

        The next `show` removes it, too.
        """
        ...


@define(eq=False)
class Line:
    """A line that is not settled, or that will get no answer."""

    text: str
    answered: bool = False
    failed: str | None = None
    """The reason why there will be no answer."""


@define(eq=False)
class Desk:
    """Keeps the lines of one front end. `offer` sends a line's id and text to the host, as `Speaker.say`."""

    front: FrontEnd
    random: Random
    offer: "Callable[[Desk, str, str], Awaitable[Routed]]"
    lines: dict[str, Line] = Factory(dict)
    """The lines by id, in the order in which they were sent."""
    _working: bool = False
    _changed: trio.Event = Factory(trio.Event)

    async def say(self, text: str) -> Routed:
        """Offer one line as a message, and return when it is on disk.

        `/help` first shows the terminal's own help. The agent adds its commands.

        Raises:
            NotAccepted: the line could not be stored.
        """
        if text.strip() == HELP_LINE:
            with suppress(OSError):
                await self.front.show(HELP)
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

    # -- replies

    async def show(self, display: Display, answers: str | None) -> None:
        """Show a message that answers the line with that id. Raise OSError if the output is closed."""
        await self.front.show(display.text)
        line = self.lines.get(answers or "")
        if line is not None:
            line.answered = True
        self.change()

    def work(self) -> None:
        """Show that the agent is at work."""
        self._working = True
        self.front.typing(on=True)

    def draft(self, text: str) -> None:
        """Show the text so far of an answer."""
        self.front.draft(text)

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line. `failed` says why there will be no answer."""
        if failed is None:
            self.lines.pop(id_, None)
        elif id_ in self.lines:
            self.lines[id_].failed = failed
        self.change()

    # -- outcomes of the lines

    def change(self) -> None:
        """Note that a line has changed. The agent counts as idle when no line is open."""
        self._working = self._working and any(self._open())
        self.front.typing(on=self._working)
        self._changed.set()
        self._changed = trio.Event()

    def forget(self) -> None:
        """Forget the lines that are not settled, because nothing more will be heard of them."""
        self.lines.clear()
        self.draft("")
        self.change()

    async def settle(self) -> None:
        """Wait until every line is settled."""
        while any(self._open()):
            await self._changed.wait()

    def _open(self) -> list[Line]:
        return [line for line in self.lines.values() if line.failed is None]

    def unanswered(self) -> list[Line]:
        """Return the lines without an answer, and those that failed."""
        return [line for line in self.lines.values() if line.failed is not None or not line.answered]
