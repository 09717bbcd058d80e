"""Requests to the host: rows of kind `system` whose action has a handler, registered by name.

A handler is a function of a connection to the central database. The registry runs it in one transaction,
which also stores its outcome under the id of the row. So it runs once, even if the delivery is repeated.
"""

import json
from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from actors import ActorError, Ref
from nanoclaw.records import Address
from nanoclaw.records.content import load_request
from nanoclaw.registry import PerformAction, Registry
from nanoclaw.session import outcomes
from nanoclaw.session.dispatch import Source
from nanoclaw.session.outcomes import Performed, Result
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Connection, StoreError
from nanoclaw.store.session import messages_in
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.system.clock import Clock


@frozen
class Request:
    """A request of an agent. Everything in `values` may be hostile."""

    action: str
    message_out_id: str
    session_id: str
    agent_group_id: str
    address: Address | None
    """The chat that was being answered."""
    values: Mapping[str, object] = field(repr=False)
    requested_by: str | None = None
    """The user whose message the row answers, if it names one."""


class ActionHandler(Protocol):
    """Performs one action of the host."""

    def __call__(self, connection: Connection, request: Request, /) -> Mapping[str, object]:
        """Change the central database in the caller's transaction, and return the result for the agent.

        The result must be serializable as JSON. Any exception rolls the changes back.

        Raises:
            ActionRefused: the action cannot be performed. The text is for the agent.
        """
        ...


@frozen
class ToHost:
    """Performs requests to the host by their handlers."""

    registry: Ref[Registry]
    handlers: Mapping[str, ActionHandler]
    clock: Clock

    async def attempt(self, source: Source, delivery: Delivery, row: MessageOut) -> Result:
        """Perform the request, or return its earlier outcome."""
        values = load_request(row.content)  # the session has checked it already
        action = str(values["action"])
        handler = self.handlers[action]
        conversation = source.conversation
        session_id, group_id = conversation.session.id, conversation.agent_group.id
        by = await source.inbound.run(messages_in.sender_of, row.in_reply_to) if row.in_reply_to else None
        request = Request(action, delivery.id, session_id, group_id, row.address, values, by)
        try:
            done = await self.registry.ask(
                PerformAction(session_id, delivery.id, lambda connection: handler(connection, request))
            )
        except (ActorError, StoreError) as error:
            reason = f"the request cannot be performed now: {error}"
            return outcomes.hold(delivery, reason, self.clock.now(), source.rules)
        result = json.loads(done.result)
        return Performed(action, result, None if done.completed else str(result.get("error")))
