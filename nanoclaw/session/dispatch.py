"""The way out of a session, as it sees it: one attempt at a time, wherever the row goes.

The dispatcher itself is above the sessions (`nanoclaw.dispatch`), for it reaches other sessions.
"""

from typing import Protocol

from attrs import frozen

from nanoclaw.records import AgentMessage
from nanoclaw.session.agents import AgentMessageOutcome
from nanoclaw.session.outcomes import Result
from nanoclaw.session.queue import Delivery
from nanoclaw.session.rules import Rules
from nanoclaw.session.services import Conversation
from nanoclaw.store import Writer


@frozen
class Source:
    """The session that a delivery comes from."""

    conversation: Conversation
    inbound: Writer
    """The dispatcher only reads it."""
    rules: Rules


class Dispatch(Protocol):
    """Makes attempts for all sessions."""

    @property
    def host_actions(self) -> frozenset[str]:
        """Names of the requests that the host performs."""
        ...

    async def attempt(self, source: Source, delivery: Delivery, /) -> tuple[Delivery, Result]:
        """Deliver the row, if it may be; returns the delivery with what was found out about it on the way.

        Nothing is written to the session's file: its core commits what came of the attempt.
        """
        ...


class AgentInbox(Protocol):
    """Takes messages from one agent for another."""

    async def accept_from_agent(
        self, conversation: Conversation, said: AgentMessage, /
    ) -> AgentMessageOutcome:
        """Have the session store a message; when this returns, that is on disk.

        Raises:
            SessionDown: the session is buried, or crashed on it again and again.
            StoreError: it could not be stored.
        """
        ...
