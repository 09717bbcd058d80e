"""The registry's messages about those who wrote and were not let in."""

from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.registry.actor import Registry
from nanoclaw.store import unregistered_senders


@frozen
class RecordStranger:
    """A sender that no policy lets in, counted."""

    address: Address
    user_id: str
    sender_name: str
    reason: str
    messaging_group_id: str
    agent_group_id: str | None

    async def handle(self, actor: Registry) -> None:
        """Count it."""
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
class ForgetStranger:
    """A sender whose record is of no more use."""

    address: Address
    user_id: str | None

    async def handle(self, actor: Registry) -> list[str]:
        """Delete what is recorded of them in that chat; returns the reasons."""
        where = (self.address.channel_type, self.address.platform_id)
        return await actor.commit(unregistered_senders.forget, *where, self.user_id)
