"""Messages to the registry about unregistered senders: those who wrote and were not admitted."""

from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store.central import unregistered_senders


@frozen
class RecordUnregisteredSender:
    """Count a message of a sender whom no policy admits."""

    address: Address
    user_id: str | None
    sender_name: str
    reason: str
    messaging_group_id: str | None
    agent_group_id: str | None

    async def handle(self, actor: Registry) -> None:
        """Insert the row, or count one more message."""
        await actor.commit(
            unregistered_senders.record,
            channel_type=self.address.channel_type,
            platform_id=self.address.platform_id,
            user_id=self.user_id,
            sender_name=self.sender_name,
            reason=self.reason,
            messaging_group_id=self.messaging_group_id,
            agent_group_id=self.agent_group_id,
            now=actor.clock.now(),
        )


@frozen
class ForgetUnregisteredSender(CheckedMessage):
    """Delete the record of an unregistered sender."""

    address: Address
    user_id: str | None

    async def handle(self, actor: Registry) -> list[str]:
        """Delete the sender's rows in that chat, and return their reasons."""
        where = (self.address.channel_type, self.address.platform_id)
        return await actor.commit(unregistered_senders.forget, *where, self.user_id)
