"""Visits to the terminal's chat over the control socket: their events and protocols."""

from contextlib import AbstractContextManager
from typing import Protocol

from attrs import frozen

from nanoclaw.records import Routed


@frozen
class Shown:
    """A message to show. `tag` is that of the line it answers, None if it answers no line of this client."""

    text: str
    tag: str | None = None


@frozen
class Working:
    """The agent is at work."""


@frozen
class Done:
    """A line is settled. `failed` says why there will be no answer."""

    tag: str
    failed: str | None = None


ChatEvent = Shown | Working | Done


class TooSlow(Exception):
    """The client did not read its events in time."""


class Visit(Protocol):
    """One client of the terminal's chat."""

    async def say(self, tag: str, text: str) -> Routed:
        """Offer a line, and return when it is on disk. Later events of this line carry `tag`.

        Raises:
            NotAccepted: the line could not be stored.
        """
        ...

    def listen(self) -> None:
        """Get the messages that came while no client was there."""
        ...

    async def next(self) -> ChatEvent:
        """Wait for the next event. A further call confirms that the last event has arrived.

        Raises:
            TooSlow: too many events were waiting. The visit has ended.
        """
        ...


class ChatRoom(Protocol):
    """The terminal's chat, for clients of the control socket."""

    def visit(self) -> AbstractContextManager[Visit]:
        """Open a visit. It ends with the context."""
        ...
