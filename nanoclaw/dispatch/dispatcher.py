"""The dispatcher: makes every attempt to deliver an outgoing row.

Each row has an entry in the ledger of its session, and one idempotency key: the id of the delivery.
Requests about tasks never come here. The session performs them in its own transaction.
"""

from attrs import frozen

from nanoclaw.dispatch.agents import ToAgents
from nanoclaw.dispatch.chats import ToChats
from nanoclaw.dispatch.host_actions import ToHost
from nanoclaw.records import AGENT
from nanoclaw.session import outcomes
from nanoclaw.session.dispatch import Source
from nanoclaw.session.outcomes import DeliveryRefused, Result
from nanoclaw.session.queue import Delivery
from nanoclaw.store import StoreUnavailable
from nanoclaw.store.session.outbound import InvalidRow
from nanoclaw.system.clock import Clock


@frozen
class Dispatcher:
    """Passes each row to its kind of receiver. Implements `nanoclaw.session.Dispatch`."""

    chats: ToChats
    agents: ToAgents
    host: ToHost
    clock: Clock

    @property
    def host_actions(self) -> frozenset[str]:
        """The names of the requests that the host performs."""
        return frozenset(self.host.handlers)

    async def attempt(self, source: Source, delivery: Delivery) -> tuple[Delivery, Result]:
        """Make one attempt. If the system fails before its receiver is asked, the row is held."""
        try:
            return await self._attempt(source, delivery)
        except StoreUnavailable as error:
            reason = f"it cannot be delivered now: {error}"
            return delivery, outcomes.hold(delivery, reason, self.clock.now(), source.rules)

    async def _attempt(self, source: Source, delivery: Delivery) -> tuple[Delivery, Result]:
        row = delivery.row
        if isinstance(row, InvalidRow):
            return delivery, DeliveryRefused(f"the row breaks the contract: {row.reason}")
        if delivery.is_request:
            return delivery, await self.host.attempt(source, delivery, row)
        address = row.address or source.conversation.chat
        if address is not None and address.channel_type == AGENT:
            return delivery, await self.agents.attempt(source, delivery, row, address)
        return await self.chats.attempt(source, delivery, row, address)
