"""What the central database says of an event, read in one transaction."""

from attrs import frozen

from nanoclaw.records import AgentGroup, InboundEvent, MessagingGroup, Session, Wiring
from nanoclaw.routing.access import refusal
from nanoclaw.routing.engagement import Engagement, engagement
from nanoclaw.store import Connection, agent_groups, messaging_groups, sessions, users, wirings


@frozen
class Target:
    """One wiring of the chat, and what it makes of the event."""

    wiring: Wiring
    agent_group: AgentGroup
    session: Session | None
    """The open session; None: none yet."""
    refused: str | None
    engagement: Engagement

    def session_key(self, event: InboundEvent) -> tuple[str, str | None, str | None]:
        """Agent group, chat and thread of the session, by the wiring's mode."""
        return session_key(self.wiring, event.address.thread_id)


@frozen
class Plan:
    """Where an event goes. `chat` None: the chat was never seen before."""

    chat: MessagingGroup | None
    targets: tuple[Target, ...]
    user_known: bool


def session_key(wiring: Wiring, thread_id: str | None) -> tuple[str, str | None, str | None]:
    """Agent group, chat and thread that a wiring's sessions are kept apart by (contract 3, session_mode)."""
    match wiring.session_mode:
        case "agent-shared":
            return (wiring.agent_group_id, None, None)
        case "per-thread":
            return (wiring.agent_group_id, wiring.messaging_group_id, thread_id)
        case _:
            return (wiring.agent_group_id, wiring.messaging_group_id, None)


def plan(connection: Connection, event: InboundEvent) -> Plan:
    """Read it."""
    chat = messaging_groups.by_address(connection, event.address.channel_type, event.address.platform_id)
    user = users.get(connection, event.message.sender_id)
    known = user is not None and user.display_name == event.message.sender
    if chat is None:
        return Plan(None, (), known)
    found = [_target(connection, event, chat, wiring) for wiring in wirings.for_chat(connection, chat.id)]
    return Plan(chat, tuple(target for target in found if target is not None), known)


def _target(
    connection: Connection, event: InboundEvent, chat: MessagingGroup, wiring: Wiring
) -> Target | None:
    group = agent_groups.get(connection, wiring.agent_group_id)
    if group is None:
        return None
    return Target(
        wiring,
        group,
        sessions.find_open(connection, *session_key(wiring, event.address.thread_id)),
        refusal(connection, chat, group.id, event.message.sender_id),
        engagement(wiring, event.message),
    )
