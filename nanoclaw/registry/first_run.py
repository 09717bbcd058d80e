"""The message to the registry that sets up a new installation."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import Address, MessagingGroup, User, Wiring
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.agent_groups import ensure_agent_group
from nanoclaw.registry.users import kind_of
from nanoclaw.store import Connection
from nanoclaw.store.central import messaging_groups, meta, user_roles, users, wirings

BOOTSTRAPPED = "bootstrapped_at"


@frozen
class Bootstrap(CheckedMessage):
    """Create an owner, an agent group, a chat and its wiring at the first run. Later runs change nothing."""

    owner_id: str
    owner_name: str
    agent_name: str
    folder: str
    chat: Address
    chat_name: str

    async def handle(self, actor: Registry) -> bool:
        """Create all rows in one transaction. Return False if that was done before."""
        made = await actor.commit(self._make, actor)
        if made:
            actor.changes.tell_all()
        return made

    def _make(self, connection: Connection, actor: Registry) -> bool:
        if meta.get(connection, BOOTSTRAPPED) is not None:
            return False
        now = actor.clock.now()
        users.upsert(connection, User(self.owner_id, kind_of(self.owner_id), self.owner_name, now))
        user_roles.grant(connection, self.owner_id, "owner", None, None, now)
        # In another build's database the group and the chat may exist.
        group = ensure_agent_group(connection, actor, self.folder, self.agent_name)
        chat = self._chat(connection, actor, now)
        if wirings.by_pair(connection, chat.id, group.id) is None:
            id_ = actor.new_id("wire", chat.id, group.id)
            wiring = Wiring(id_, chat.id, group.id, {}, "all", "shared", 0, now)
            wirings.create(connection, wiring)
        meta.put(connection, BOOTSTRAPPED, now.isoformat())
        return True

    def _chat(self, connection: Connection, actor: Registry, now: datetime) -> MessagingGroup:
        address = (self.chat.channel_type, self.chat.platform_id)
        found = messaging_groups.by_address(connection, *address)
        if found is not None:
            return found
        chat = MessagingGroup(
            actor.new_id("mg", *address),
            *address,
            self.chat_name,
            is_group=False,
            unknown_sender_policy="strict",
            created_at=now,
        )
        messaging_groups.create(connection, chat)
        return chat
