"""Messages to the registry about wirings, which say how an agent listens to a chat."""

from collections.abc import Mapping

from attrs import field, frozen

from nanoclaw.records import (
    Address,
    MessagingGroup,
    ResponseScope,
    SessionMode,
    UnknownSenderPolicy,
    Wiring,
)
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.agent_groups import ensure_agent_group
from nanoclaw.registry.trigger_rules import read_rules
from nanoclaw.store import Connection
from nanoclaw.store.central import messaging_groups, wirings
from nanoclaw.store.central.wirings import WiringChanges


@frozen
class CreateWiring(CheckedMessage):
    """Let an existing agent group listen to an existing chat."""

    messaging_group_id: str
    agent_group_id: str
    trigger_rules: Mapping[str, object] = field(factory=dict)
    response_scope: ResponseScope = "all"
    session_mode: SessionMode = "shared"
    priority: int = 0

    async def handle(self, actor: Registry) -> Wiring:
        """Insert the wiring and its destination. Raises `BadRules`; `Conflict` if the pair is wired."""
        read_rules(self.trigger_rules)
        wiring = Wiring(
            actor.new_id("wire", self.messaging_group_id, self.agent_group_id),
            self.messaging_group_id,
            self.agent_group_id,
            self.trigger_rules,
            self.response_scope,
            self.session_mode,
            self.priority,
            actor.clock.now(),
        )
        await actor.commit(wirings.create, wiring)
        actor.changes.tell(wiring.agent_group_id)
        actor.changes.tell_admitted()
        return wiring


@frozen
class UpdateWiring(CheckedMessage):
    """Change how an agent listens to a chat."""

    id: str
    changes: WiringChanges

    async def handle(self, actor: Registry) -> Wiring:
        """Change the row and return it. Raises `BadRules`."""
        read_rules(self.changes.get("trigger_rules", {}))
        wiring = await actor.commit(wirings.update, self.id, self.changes)
        actor.changes.tell(wiring.agent_group_id)
        actor.changes.tell_admitted()
        return wiring


@frozen
class DeleteWiring(CheckedMessage):
    """Stop an agent from listening to a chat. Also delete the destination made with the wiring."""

    id: str

    async def handle(self, actor: Registry) -> Wiring:
        """Delete the row and return it."""
        wiring = await actor.commit(wirings.delete, self.id)
        actor.changes.tell(wiring.agent_group_id)
        actor.changes.tell_admitted()
        return wiring


@frozen
class WireChat(CheckedMessage):
    """Let an agent group listen to a chat. Missing groups and chats are created.

    The chat gets the policy `policy`. If the wiring exists, it keeps its rules and is returned.
    """

    address: Address
    folder: str
    policy: UnknownSenderPolicy = "strict"
    session_mode: SessionMode = "shared"
    response_scope: ResponseScope = "all"
    trigger_rules: Mapping[str, object] = field(factory=dict)
    priority: int = 0
    agent_name: str | None = None
    """Name of a new agent group. None means the name of the folder."""
    chat_name: str | None = None
    is_group: bool = False

    async def handle(self, actor: Registry) -> Wiring:
        """Create the missing rows in one transaction, and return the wiring. Raises `BadRules`."""
        read_rules(self.trigger_rules)
        wiring = await actor.commit(self._make, actor)
        actor.changes.tell(wiring.agent_group_id)
        actor.changes.tell_admitted()
        return wiring

    def _make(self, connection: Connection, actor: Registry) -> Wiring:
        group = ensure_agent_group(connection, actor, self.folder, self.agent_name or self.folder).id
        chat = self._chat(connection, actor)
        there = wirings.by_pair(connection, chat, group)
        if there is not None:
            return there
        wiring = Wiring(
            actor.new_id("wire", chat, group),
            chat,
            group,
            self.trigger_rules,
            self.response_scope,
            self.session_mode,
            self.priority,
            actor.clock.now(),
        )
        wirings.create(connection, wiring)
        return wiring

    def _chat(self, connection: Connection, actor: Registry) -> str:
        channel, platform = self.address.channel_type, self.address.platform_id
        found = messaging_groups.by_address(connection, channel, platform)
        if found is not None:
            messaging_groups.update(connection, found.id, {"unknown_sender_policy": self.policy})
            return found.id
        id_, now = actor.new_id("mg", channel, platform), actor.clock.now()
        chat = MessagingGroup(id_, channel, platform, self.chat_name, self.is_group, self.policy, now)
        messaging_groups.create(connection, chat)
        return chat.id
