"""Visits to the terminal's chat over the control socket: their events and protocols."""

from contextlib import AbstractContextManager
from typing import Protocol

from attrs import frozen

from nanoclaw.records import Routed


@frozen
class Shown:
    """A message to show. `tag` is that of the line it answers; None: it answers none of this visitor's."""

    text: str
    tag: str | None = None


@frozen
class Working:
    """The agent is at work."""


@frozen
class Done:
    """A line is done with; `failed` says why there will be no answer."""

    tag: str
    failed: str | None = None


ChatEvent = Shown | Working | Done


class TooSlow(Exception):
    """A visitor did not take what was there for it."""


class Visit(Protocol):
    """One client's presence in the terminal's chat."""

    async def say(self, tag: str, text: str) -> Routed:
        """Offer a line; returns when it is on disk. What becomes of it carries `tag`.

        Raises:
            NotAccepted: it could not be stored.
        """
        ...

    def listen(self) -> None:
        """Be shown what came while nobody was there."""
        ...

    async def next(self) -> ChatEvent:
        """Wait for the next event. To ask for another one says that the last one has arrived.

        Raises:
            TooSlow: too much has been waiting; this visit is over.
        """
        ...


class ChatRoom(Protocol):
    """The terminal's chat, for those who come over the control socket."""

    def visit(self) -> AbstractContextManager[Visit]:
        """Be there while the context is open."""
        ...
