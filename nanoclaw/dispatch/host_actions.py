"""Requests to the host: rows of kind `system` whose action has an executor, registered by its name.

An executor is a function of a connection to the central database. The registry runs it in one transaction
that also keeps its outcome under the row that asked, so it runs once however often the delivery is tried.
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
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.system.clock import Clock


@frozen
class Request:
    """A request of an agent; everything in `values` is hostile."""

    action: str
    message_out_id: str
    session_id: str
    agent_group_id: str
    address: Address | None
    """The chat that was being answered."""
    values: Mapping[str, object] = field(repr=False)


class ActionHandler(Protocol):
    """Performs the requests of one name."""

    def __call__(self, connection: Connection, request: Request, /) -> Mapping[str, object]:
        """Change the central database, in the transaction of the caller; returns the result for the agent.

        It is synchronous, and its result can be written as JSON. What it raises undoes what it did.

        Raises:
            ActionRefused: it cannot be done; the text is for the agent.
        """
        ...


@frozen
class ToHost:
    """Has handlers perform requests."""

    registry: Ref[Registry]
    handlers: Mapping[str, ActionHandler]
    clock: Clock

    async def attempt(self, source: Source, delivery: Delivery, row: MessageOut) -> Result:
        """Perform the request, or find out what came of it before."""
        values = load_request(row.content)  # the session has read it before
        action = str(values["action"])
        executor = self.handlers[action]
        conversation = source.conversation
        session_id, group_id = conversation.session.id, conversation.agent_group.id
        request = Request(action, delivery.id, session_id, group_id, row.address, values)
        try:
            done = await self.registry.ask(
                PerformAction(session_id, delivery.id, lambda connection: executor(connection, request))
            )
        except (ActorError, StoreError) as error:
            reason = f"the request cannot be performed now: {error}"
            return outcomes.hold(delivery, reason, self.clock.now(), source.rules)
        result = json.loads(done.result)
        return Performed(action, result, None if done.completed else str(result.get("error")))
