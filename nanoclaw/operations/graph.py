"""Who may write to whom: agents and chats, by the rows of wirings and destinations."""

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from nanoclaw.operations.references import address_of
from nanoclaw.records import AgentGroup, MessagingGroup
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, destinations, messaging_groups, wirings

EndType = Literal["agent", "chat"]


@frozen
class Edge:
    """One may write to the other."""

    writer_type: EndType
    writer: str
    """The folder of an agent, or the address of a chat."""
    reader_type: EndType
    reader: str
    through: str
    """`wiring`: the agent hears the chat. `destination`: the agent may send there."""
    name: str | None
    """The name that the writing agent uses; None if a chat writes."""
    writer_id: str
    reader_id: str


def edges(connection: Connection) -> list[Edge]:
    """Return all edges: first from chats to agents, then from agents, by the names of both ends.

    A row whose agent or chat is missing leads nowhere, and is left out.
    """
    agents = {each.id: each for each in agent_groups.every(connection)}
    chats = {each.id: each for each in messaging_groups.every(connection)}
    found = [*_heard(connection, agents, chats), *_sent(connection, agents, chats)]
    return sorted(found, key=lambda each: (each.writer_type == "agent", each.writer, each.reader, each.name))


def _heard(
    connection: Connection, agents: dict[str, AgentGroup], chats: dict[str, MessagingGroup]
) -> Iterator[Edge]:
    for wiring in wirings.every(connection):
        chat, agent = chats.get(wiring.messaging_group_id), agents.get(wiring.agent_group_id)
        if chat is not None and agent is not None:
            yield Edge("chat", address_of(chat), "agent", agent.folder, "wiring", None, chat.id, agent.id)


def _sent(
    connection: Connection, agents: dict[str, AgentGroup], chats: dict[str, MessagingGroup]
) -> Iterator[Edge]:
    for agent in agents.values():
        for row in destinations.of_agent(connection, agent.id):
            reader: tuple[EndType, str] | None = None
            if row.target_type == "channel" and (chat := chats.get(row.target_id)) is not None:
                reader = "chat", address_of(chat)
            elif row.target_type == "agent" and (other := agents.get(row.target_id)) is not None:
                reader = "agent", other.folder
            if reader is not None:
                yield Edge(
                    "agent", agent.folder, *reader, "destination", row.local_name, agent.id, row.target_id
                )
