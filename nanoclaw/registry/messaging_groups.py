"""Messages to the registry about chats and direct chats."""

from attrs import frozen

from nanoclaw.records import Address, MessagingGroup, UnknownSenderPolicy, UserDm
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import messaging_groups, user_dms
from nanoclaw.store.central.messaging_groups import MessagingGroupChanges


@frozen
class EnsureChat:
    """Find or create the row of a chat at a message. Its name and kind follow what the network reports.

    A new chat has the policy strict.
    """

    address: Address
    name: str | None
    """None: the network does not say, so a stored name stays."""
    is_group: bool
    direct_user: str | None = None
    """The user whose direct chat it is. It is noted unless they have one, or it is another user's."""

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Return the stored or new row. A new name is shown to all agents."""
        chat, renamed = await actor.commit(self._ensure, actor)
        if renamed:
            actor.changes.tell_all()
        return chat

    def _ensure(self, connection: Connection, actor: Registry) -> tuple[MessagingGroup, bool]:
        channel, platform, now = self.address.channel_type, self.address.platform_id, actor.clock.now()
        found = messaging_groups.by_address(connection, channel, platform)
        renamed = found is not None and self.name is not None and found.name != self.name
        if found is None:
            id_ = actor.new_id("mg", channel, platform)
            chat = MessagingGroup(id_, channel, platform, self.name, self.is_group, "strict", now)
            messaging_groups.create(connection, chat)
        else:
            changes: MessagingGroupChanges = {"is_group": self.is_group}
            if self.name is not None:
                changes["name"] = self.name
            chat = messaging_groups.update(connection, found.id, changes)
        if self.direct_user is not None:
            user_dms.note_first(connection, UserDm(self.direct_user, channel, chat.id, now))
        return chat, renamed


@frozen
class CreateMessagingGroup(CheckedMessage):
    """Create the row of a chat before its first message."""

    address: Address
    name: str | None = None
    is_group: bool = False
    unknown_sender_policy: UnknownSenderPolicy = "strict"

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Insert the chat and return it. An address that has one already raises `Conflict`."""
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
class UpdateMessagingGroup(CheckedMessage):
    """Change the name, kind or policy of a chat."""

    id: str
    changes: MessagingGroupChanges

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Change the row and return it."""
        chat = await actor.commit(messaging_groups.update, self.id, self.changes)
        if "name" in self.changes:
            actor.changes.tell_all()
        actor.changes.tell_admitted()
        return chat


@frozen
class DeleteMessagingGroup(CheckedMessage):
    """Delete a chat; `store.central.messaging_groups.delete` says what is deleted with it."""

    id: str

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Delete the row, unless other rows refer to it."""
        return await actor.commit(messaging_groups.delete, self.id)


@frozen
class NoteDm(CheckedMessage):
    """Store the direct chat of a user on a channel."""

    user_id: str
    channel_type: str
    messaging_group_id: str

    async def handle(self, actor: Registry) -> UserDm:
        """Replace the stored direct chat, and return the new one."""
        dm = UserDm(self.user_id, self.channel_type, self.messaging_group_id, actor.clock.now())
        await actor.commit(user_dms.upsert, dm)
        actor.changes.tell_approvals()
        return dm


@frozen
class ForgetDm(CheckedMessage):
    """Delete a direct chat that is outdated."""

    user_id: str
    channel_type: str

    async def handle(self, actor: Registry) -> UserDm:
        """Delete and return it."""
        return await actor.commit(user_dms.delete, self.user_id, self.channel_type)
