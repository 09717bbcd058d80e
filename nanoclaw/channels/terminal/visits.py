"""Visits to the terminal's chat over the control socket: their events and protocols."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from attrs import frozen

from nanoclaw.records import Answering, Routed


@frozen
class Shown:
    """A message to show. `tag` is that of the line it answers, None if it answers no line of this client."""

    text: str
    tag: str | None = None
    number: int = 0
    """The number in `Visit.confirm`."""
    asks: bool = False
    """True for a question, which is answered with a number."""


@frozen
class Working:
    """The agent is at work."""


@frozen
class Drafting:
    """The text so far of an answer. It replaces the last one; an empty text or a message removes it."""

    text: str


@frozen
class Done:
    """A line is settled. `failed` says why there will be no answer."""

    tag: str
    failed: str | None = None


ChatEvent = Shown | Working | Drafting | Done


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

    def listen(self, *, confirms: bool, drafts: bool) -> None:
        """Say whether the client confirms what it shows, and whether it wants drafts.

        If it does not confirm, a message counts as shown once it is sent.
        """
        ...

    def confirm(self, number: int) -> None:
        """Note that the client has shown a message."""
        ...

    async def next(self) -> ChatEvent:
        """Wait for the next event. A further call says that the last event was sent.

        Raises:
            TooSlow: too many events were waiting. The visit has ended.
        """
        ...


class ChatRoom(Protocol):
    """The terminal's chat, for clients of the control socket."""

    async def answering(self) -> Sequence[Answering]:
        """Return the agents that answer in the chat."""
        ...

    def visit(self) -> AbstractContextManager[Visit]:
        """Open a visit. It ends with the context."""
        ...
