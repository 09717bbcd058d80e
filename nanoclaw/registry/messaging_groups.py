"""The registry's messages about chats and direct chats."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import Address, MessagingGroup, UnknownSenderPolicy, UserDm
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, messaging_groups, user_dms
from nanoclaw.store.messaging_groups import MessagingGroupChanges


@frozen
class EnsureChat:
    """The row of a chat, made at its first message (policy strict until an admin says otherwise)."""

    address: Address
    name: str | None
    is_group: bool

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Find or create it."""
        id_ = actor.new_id("mg", self.address.channel_type, self.address.platform_id)
        return await actor.commit(self._find_or_create, id_, actor.clock.now())

    def _find_or_create(self, connection: Connection, id_: str, now: datetime) -> MessagingGroup:
        found = messaging_groups.by_address(connection, self.address.channel_type, self.address.platform_id)
        if found is not None:
            return found
        channel, platform = self.address.channel_type, self.address.platform_id
        chat = MessagingGroup(id_, channel, platform, self.name, self.is_group, "strict", now)
        messaging_groups.create(connection, chat)
        return chat


@frozen
class CreateMessagingGroup:
    """The row of a chat before its first message."""

    address: Address
    name: str | None = None
    is_group: bool = False
    unknown_sender_policy: UnknownSenderPolicy = "strict"

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Make it; where the address has one that is a conflict."""
        chat = MessagingGroup(
            actor.new_id("mg", self.address.channel_type, self.address.platform_id),
            self.address.channel_type,
            self.address.platform_id,
            self.name,
            self.is_group,
            self.unknown_sender_policy,
            actor.clock.now(),
        )
        await actor.commit(messaging_groups.create, chat)
        return chat


@frozen
class UpdateMessagingGroup:
    """Another name, kind or policy of a chat."""

    id: str
    changes: MessagingGroupChanges

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Change it."""
        chat = await actor.commit(messaging_groups.update, self.id, self.changes)
        if "name" in self.changes:
            actor.changes.tell_all()
        return chat


@frozen
class DeleteMessagingGroup:
    """A chat that is gone; see `store.messaging_groups.delete` for what goes with it."""

    id: str

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Delete it, unless something refers to it."""
        return await actor.commit(messaging_groups.delete, self.id)


@frozen
class NoteDm:
    """The chat in which a channel reaches a user alone."""

    user_id: str
    channel_type: str
    messaging_group_id: str

    async def handle(self, actor: Registry) -> UserDm:
        """Note it, instead of what was noted before."""
        dm = UserDm(self.user_id, self.channel_type, self.messaging_group_id, actor.clock.now())
        await actor.commit(user_dms.upsert, dm)
        return dm


@frozen
class ForgetDm:
    """A direct chat that is no longer the right one."""

    user_id: str
    channel_type: str

    async def handle(self, actor: Registry) -> UserDm:
        """Forget it."""
        return await actor.commit(user_dms.delete, self.user_id, self.channel_type)
