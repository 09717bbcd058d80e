"""The registry actor: owns the writer of `v2.db`, and is the only one that writes there.

It never waits for a session, a channel or a container. Whoever only reads uses a read-only connection.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from actors import Context
from nanoclaw.records import (
    Address,
    AgentGroup,
    MessagingGroup,
    ParkedEvent,
    ResponseScope,
    Session,
    SessionMode,
    UnknownSenderPolicy,
    User,
    Wiring,
)
from nanoclaw.registry.changes import Changes
from nanoclaw.seams import Clock, new_id
from nanoclaw.store import (
    Connection,
    Executor,
    Writer,
    agent_groups,
    messaging_groups,
    meta,
    own_central,
    parked_events,
    sessions,
    unregistered_senders,
    user_roles,
    users,
    wirings,
)

BOOTSTRAPPED = "bootstrapped_at"
INSTALL_ID = "install_id"


@define(eq=False)
class Registry:
    """The state of the registry: its writer, and what rows are made with."""

    writer: Writer
    clock: Clock
    random: Random
    changes: Changes

    def new_id(self, prefix: str) -> str:
        """A fresh id for a row."""
        return new_id(prefix, self.random)


# -- messages ------------------------------------------------------------------


@frozen
class EnsureChat:
    """The row of a chat, made at its first message (policy strict until an admin says otherwise)."""

    address: Address
    name: str | None
    is_group: bool

    async def handle(self, actor: Registry) -> MessagingGroup:
        """Find or create it."""
        return await actor.writer.run(self._find_or_create, actor.new_id("mg"), actor.clock.now())

    def _find_or_create(self, connection: Connection, id_: str, now: datetime) -> MessagingGroup:
        found = messaging_groups.by_address(connection, self.address.channel_type, self.address.platform_id)
        if found is not None:
            return found
        channel, platform = self.address.channel_type, self.address.platform_id
        chat = MessagingGroup(id_, channel, platform, self.name, self.is_group, "strict", now)
        messaging_groups.create(connection, chat)
        return chat


@frozen
class EnsureUser:
    """The row of a user, with the name last seen."""

    user_id: str
    display_name: str | None

    async def handle(self, actor: Registry) -> None:
        """Create or rename it."""
        kind = self.user_id.partition(":")[0]
        user = User(self.user_id, kind, self.display_name, actor.clock.now())
        await actor.writer.run(users.upsert, user)


@frozen
class OpenSession:
    """The open session of an agent group for a chat and thread; both None for `agent-shared`."""

    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None

    async def handle(self, actor: Registry) -> Session:
        """Find or create it."""
        return await actor.writer.run(self._find_or_create, actor.new_id("sess"), actor.clock.now())

    def _find_or_create(self, connection: Connection, id_: str, now: datetime) -> Session:
        key = (self.agent_group_id, self.messaging_group_id, self.thread_id)
        found = sessions.find_open(connection, *key)
        if found is not None:
            return found
        session = Session(id_, *key, None, "active", "stopped", None, now)
        sessions.create(connection, session)
        return session


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
        await actor.writer.run(
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
class ParkEvent:
    """An accepted event for a session that cannot take it; replayed after repair."""

    session_id: str
    event: str
    reason: str

    async def handle(self, actor: Registry) -> None:
        """Store it whole."""
        parked = ParkedEvent(
            actor.new_id("park"), self.session_id, self.event, self.reason, actor.clock.now()
        )
        await actor.writer.run(parked_events.park, parked)


@frozen
class RemoveParked:
    """Parked events that their session has now."""

    ids: Sequence[str]

    async def handle(self, actor: Registry) -> None:
        """Delete them."""
        await actor.writer.run(parked_events.remove, self.ids)


@frozen
class Bootstrap:
    """The first run: an owner, an agent group, a chat and its wiring. Later runs change nothing."""

    owner_id: str
    owner_name: str
    agent_name: str
    folder: str
    chat: Address
    chat_name: str

    async def handle(self, actor: Registry) -> bool:
        """Make them in one transaction; False if this was done before."""
        return await actor.writer.run(self._make, actor)

    def _make(self, connection: Connection, actor: Registry) -> bool:
        if meta.get(connection, BOOTSTRAPPED) is not None:
            return False
        now = actor.clock.now()
        users.upsert(connection, User(self.owner_id, self.owner_id.partition(":")[0], self.owner_name, now))
        user_roles.grant(connection, self.owner_id, "owner", None, None, now)
        group = AgentGroup(actor.new_id("ag"), self.agent_name, self.folder, None, now)
        agent_groups.create(connection, group)
        address = (self.chat.channel_type, self.chat.platform_id)
        chat = MessagingGroup(
            actor.new_id("mg"),
            *address,
            self.chat_name,
            is_group=False,
            unknown_sender_policy="strict",
            created_at=now,
        )
        messaging_groups.create(connection, chat)
        wirings.create(
            connection, Wiring(actor.new_id("wire"), chat.id, group.id, {}, "all", "shared", 0, now)
        )
        meta.put(connection, BOOTSTRAPPED, now.isoformat())
        return True


@frozen
class WireChat:
    """Let an agent group listen to a chat; group and chat are made where they are missing.

    The chat's policy becomes `policy`. A wiring that exists keeps its rules: the reply is the one in force.
    """

    address: Address
    folder: str
    policy: UnknownSenderPolicy = "strict"
    session_mode: SessionMode = "shared"
    response_scope: ResponseScope = "all"
    trigger_rules: Mapping[str, object] = field(factory=dict)
    priority: int = 0
    agent_name: str | None = None
    """Of a new agent group; the folder's name otherwise."""
    chat_name: str | None = None
    is_group: bool = False

    async def handle(self, actor: Registry) -> Wiring:
        """Make what is missing, in one transaction."""
        return await actor.writer.run(self._make, actor)

    def _make(self, connection: Connection, actor: Registry) -> Wiring:
        group, chat = self._group(connection, actor), self._chat(connection, actor)
        there = [wiring for wiring in wirings.for_chat(connection, chat) if wiring.agent_group_id == group]
        if there:
            return there[0]
        wiring = Wiring(
            actor.new_id("wire"),
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

    def _group(self, connection: Connection, actor: Registry) -> str:
        found = agent_groups.by_folder(connection, self.folder)
        if found is not None:
            return found.id
        name = self.agent_name or self.folder
        group = AgentGroup(actor.new_id("ag"), name, self.folder, None, actor.clock.now())
        agent_groups.create(connection, group)
        return group.id

    def _chat(self, connection: Connection, actor: Registry) -> str:
        channel, platform = self.address.channel_type, self.address.platform_id
        found = messaging_groups.by_address(connection, channel, platform)
        if found is not None:
            messaging_groups.set_policy(connection, found.id, self.policy)
            return found.id
        id_, now = actor.new_id("mg"), actor.clock.now()
        chat = MessagingGroup(id_, channel, platform, self.chat_name, self.is_group, self.policy, now)
        messaging_groups.create(connection, chat)
        return chat.id


# -- recipe --------------------------------------------------------------------


def registry_recipe(
    data: Path, executor: Executor, clock: Clock, random: Random, changes: Changes
) -> Callable[[Context[Registry]], AbstractAsyncContextManager[Registry]]:
    """What the registry owns: the lock of the data directory, and the writer of `v2.db`."""

    @asynccontextmanager
    async def recipe(_context: Context[Registry]) -> AsyncIterator[Registry]:
        async with own_central(data, executor=executor, clock=clock, random=random) as writer:
            registry = Registry(writer, clock, random, changes)
            await writer.run(_ensure_install_id, registry)
            yield registry

    return recipe


def _ensure_install_id(connection: Connection, registry: Registry) -> None:
    if meta.get(connection, INSTALL_ID) is None:
        meta.put(connection, INSTALL_ID, registry.new_id("install"))
