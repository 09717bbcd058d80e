"""Rows of the central database about agents, chats, wirings and destinations."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import frozen

UnknownSenderPolicy = Literal["strict", "request_approval", "public"]
SessionMode = Literal["shared", "per-thread", "agent-shared"]
ResponseScope = Literal["all", "triggered", "allowlisted"]
DestinationType = Literal["channel", "agent"]


@frozen
class AgentGroup:
    """An agent. Its folder holds its workspace and memory."""

    id: str
    name: str
    folder: str
    agent_provider: str | None
    created_at: datetime


@frozen
class Answering:
    """An agent that answers in a chat, its provider and its model."""

    agent: str
    provider: str
    model: str | None = None
    """The model's name; None if the provider asks none."""


@frozen
class MessagingGroup:
    """A chat of a channel."""

    id: str
    channel_type: str
    platform_id: str
    name: str | None
    is_group: bool
    unknown_sender_policy: UnknownSenderPolicy
    created_at: datetime


@frozen
class Wiring:
    """A wiring: an agent group listens to a chat, by these rules (contract 3)."""

    id: str
    messaging_group_id: str
    agent_group_id: str
    trigger_rules: Mapping[str, object]
    response_scope: ResponseScope
    session_mode: SessionMode
    priority: int
    created_at: datetime


@frozen
class EngagedThread:
    """A thread in which the agent of a wiring stays engaged."""

    wiring_id: str
    thread_id: str
    """Empty for the chat outside of its threads."""
    engaged_at: datetime
    last_at: datetime
    """The time of the last message there."""


@frozen
class AgentDestination:
    """An agent's permission to send to a chat (`target_type` channel) or agent, under a local name."""

    agent_group_id: str
    local_name: str
    target_type: DestinationType
    target_id: str
    created_at: datetime
    wiring_id: str | None = None
    """The wiring that created it, and whose deletion deletes it. None for any other destination."""


@frozen
class Destination:
    """A name that an agent may send to, with the chat or agent behind it."""

    name: str
    display_name: str | None
    type: DestinationType
    channel_type: str | None = None
    platform_id: str | None = None
    agent_group_id: str | None = None
