"""Messages to the registry about messages and clicks that were dropped, counted by sender and reason."""

from collections.abc import Sequence

from attrs import field, frozen

from nanoclaw.records import Address, UnregisteredSender
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import unregistered_senders


@frozen
class RecordDrops:
    """Add counts of what was dropped. Nothing that is cached reads them."""

    counts: Sequence[UnregisteredSender] = field(repr=False)

    async def handle(self, actor: Registry) -> None:
        """Insert the rows, or add to those of the same chat, sender and reason."""
        await actor.note(self._add)

    def _add(self, connection: Connection) -> None:
        for each in self.counts:
            unregistered_senders.add(connection, each)
        unregistered_senders.forget_oldest(connection)


@frozen
class ForgetUnregisteredSender(CheckedMessage):
    """Delete the record of an unregistered sender."""

    address: Address
    user_id: str | None

    async def handle(self, actor: Registry) -> list[str]:
        """Delete the sender's rows in that chat, and return their reasons."""
        where = (self.address.channel_type, self.address.platform_id)
        return await actor.commit(unregistered_senders.forget, *where, self.user_id)
