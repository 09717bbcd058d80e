"""Two agents in a world: `main` has a chat with Ann, `helper` has none, and `main` may write to it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoclaw.records import AgentGroup, SessionPaths
from nanoclaw.testing import World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.scripted_provider import Brain

COLUMNS = "SELECT kind, status, content, source_session_id, hops, causation_id, trigger FROM messages_in"


@frozen
class Row:
    """A row of `messages_in`."""

    kind: str
    status: str
    content: Mapping[str, Any]
    source: str | None
    hops: int | None
    cause: str | None
    trigger: int


@frozen
class Pair:
    """The two agents, with queries for tests."""

    world: World
    ann: User
    chat: Chat
    main: AgentGroup
    helper: AgentGroup

    def sessions(self, group: AgentGroup) -> list[SessionPaths]:
        """Return the sessions of an agent on disk."""
        return [
            SessionPaths(path) for path in sorted((self.world.home / "data/sessions" / group.id).glob("*"))
        ]

    def inbound(self, group: AgentGroup) -> Path:
        """Return the paths of an agent's only session."""
        [paths] = self.sessions(group)
        return paths.inbound_db

    def session_id(self, group: AgentGroup) -> str:
        [paths] = self.sessions(group)
        return paths.root.name

    def received(self, group: AgentGroup) -> list[Row]:
        """Return the messages of other agents to it, in order."""
        return received(self.inbound(group))

    def told(self, group: AgentGroup) -> list[Row]:
        """Return the host's system messages to it, in order."""
        return _rows(self.inbound(group), "kind = 'system'")


def received(inbound: Path) -> list[Row]:
    """Return the messages of other agents to a session, in order."""
    return _rows(inbound, "source_session_id IS NOT NULL")


def said(messages: Iterable[Row]) -> list[str]:
    """Return their texts."""
    return [str(message.content["text"]) for message in messages]


def _rows(inbound: Path, where: str) -> list[Row]:
    found = rows(inbound, f"{COLUMNS} WHERE {where} ORDER BY seq")
    return [Row(kind, status, json.loads(content), *rest) for kind, status, content, *rest in found]


async def a_pair(world: World, main: Brain | str = "echo", helper: Brain | str = "echo") -> Pair:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent("main", main))
    admin, brain = world.host.admin, world.agent("helper", helper)
    other = await admin.agent_groups.create("Helper", "helper", agent_provider=brain.provider)
    group = await admin.agent_groups.by_folder("main")
    assert group
    await admin.destinations.create(group.id, "agent", other.id, local_name="helper")
    return Pair(world, ann, chat, group, other)


def tell(text: str, to: str = "helper") -> str:
    """Return the message by which Ann makes `echo` send a text."""
    return f"!send_message {json.dumps({'text': text, 'to': to})}"
