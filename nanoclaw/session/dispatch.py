"""The protocol by which a session makes delivery attempts, one at a time.

The dispatcher itself (`nanoclaw.dispatch`) is above the sessions, because it delivers to other sessions.
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
    """The writer of the session's file. The dispatcher uses it only to read."""
    rules: Rules


class Dispatch(Protocol):
    """Makes delivery attempts for all sessions."""

    @property
    def host_actions(self) -> frozenset[str]:
        """The names of the requests that the host performs."""
        ...

    async def attempt(self, source: Source, delivery: Delivery, /) -> tuple[Delivery, Result]:
        """Deliver the row, if that is allowed. Return the delivery, perhaps completed, and the result.

        This writes nothing to the session's file. The session commits the result.
        """
        ...


class AgentInbox(Protocol):
    """Passes messages from one agent to another."""

    async def accept_from_agent(
        self, conversation: Conversation, said: AgentMessage, /
    ) -> AgentMessageOutcome:
        """Have the session store a message. When this returns, it is on disk.

        Raises:
            SessionDown: the session is buried, or crashed repeatedly on this message.
            StoreError: the message could not be stored.
        """
        ...
