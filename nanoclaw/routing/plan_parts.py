"""The parts of a plan, as they are read from the central database: a chat, a sender, and both together.

Each part depends on few rows, so most commits leave most parts as they are.
"""

from collections.abc import Iterator, Mapping

import structlog
from attrs import evolve, frozen

from nanoclaw.records import Address, AgentGroup, MessagingGroup, Refusal, Session, User, Wiring
from nanoclaw.registry.trigger_rules import TriggerRules, problem
from nanoclaw.routing.clicks import Waiting, waiting_in
from nanoclaw.routing.engagement import rules_of
from nanoclaw.store import Connection, DamagedRow
from nanoclaw.store.central import (
    agent_groups,
    held_messages,
    members,
    messaging_groups,
    people,
    refusals,
    sessions,
    user_dms,
    users,
    wirings,
)

_log = structlog.get_logger()


@frozen
class Listener:
    """A wiring of a chat with its agent group and its open session."""

    wiring: Wiring
    rules: TriggerRules | None
    """The wiring's rules, read once. None: they are invalid, so no message is heard."""
    agent_group: AgentGroup
    session: Session | DamagedRow | None
    """The open session, or the error about its row, or None if there is none yet."""


@frozen
class ChatPart:
    """A chat, or a thread of it. `chat` is None for a chat without a row."""

    chat: MessagingGroup | None
    listeners: tuple[Listener, ...] = ()
    damaged: tuple[DamagedRow, ...] = ()
    """The errors about wirings and agents of the chat that are left out."""
    rejected: Refusal | None = None
    """The rejection of the chat, if it has no listener and was rejected."""
    waiting: tuple[Waiting, ...] = ()
    """Questions and approvals that wait for an answer here, newest first."""
    is_direct: bool = False
    """True if it is noted as somebody's direct chat."""
    singles_out: bool = False
    """True if some sender is refused here, or has held messages. Then a sender has a `PairPart`."""


@frozen
class SenderPart:
    """A sender. `user` is None if they have no row."""

    id: str
    user: User | None
    identities: tuple[str, ...]
    """All ids of the person."""
    person: str | None
    """The name of the person, if they have several identities."""
    agents: frozenset[str]
    """The agents that they may always talk to."""
    networks: frozenset[str]
    """The networks on which they have a direct chat."""

    def may_talk_to(self, agent_group_id: str) -> bool:
        """Return whether they are a member or an admin of an agent, a global admin, or an owner."""
        return agent_group_id in self.agents or members.ANY_AGENT in self.agents


@frozen
class PairPart:
    """What is stored of a sender in one chat."""

    refused: Mapping[str, Refusal | None]
    """By agent, the refusal of the sender."""
    waiting_for: frozenset[str]
    """The agents that wait for held messages of the sender. An empty name: any agent."""


@frozen
class Parts:
    """The parts of a plan. None is a part that is not known yet."""

    chat: ChatPart | None = None
    sender: SenderPart | None = None
    pair: PairPart | None = None

    def complete(self, sender: str | None) -> bool:
        """Return whether these are all parts of a plan for an event of the sender."""
        if self.chat is None or (sender is not None and self.sender is None):
            return False
        return sender is None or self.pair is not None or not self.chat.singles_out


def read_parts(connection: Connection, address: Address, sender: str | None, known: Parts) -> Parts:
    """Read the parts that are not known.

    Raises:
        DamagedRow: the row of the chat or of the sender cannot be read.
    """
    chat = known.chat or _chat(connection, address)
    found = evolve(known, chat=chat)
    if sender is not None:
        found = evolve(found, sender=known.sender or _sender(connection, sender))
        if chat.singles_out and known.pair is None:
            found = evolve(found, pair=_pair(connection, chat, sender))
    return found


def _chat(connection: Connection, address: Address) -> ChatPart:
    chat = messaging_groups.by_address(connection, address.channel_type, address.platform_id)
    waiting = waiting_in(connection, address)
    if chat is None:  # a card may have been sent there all the same
        return ChatPart(None, waiting=waiting)
    found, damaged = wirings.split_for_chat(connection, chat.id)
    groups, damaged_groups = agent_groups.in_chat(connection, chat.id)
    listeners = tuple(_listeners(connection, chat, address.thread_id, found, groups))
    return ChatPart(
        chat,
        listeners,
        (*damaged, *damaged_groups),
        None if listeners else refusals.of_chat(connection, chat.id),
        waiting,
        not chat.is_group and user_dms.is_direct(connection, chat.id),
        refusals.concern_senders(connection, chat.id) or held_messages.any_in(connection, chat.id),
    )


def _listeners(
    connection: Connection,
    chat: MessagingGroup,
    thread_id: str | None,
    found: list[Wiring],
    groups: list[AgentGroup],
) -> Iterator[Listener]:
    group_of = {group.id: group for group in groups}
    opened = sessions.find_all_open(connection, chat.id, thread_id) if groups else {}
    for wiring in found:
        group = group_of.get(wiring.agent_group_id)
        if group is not None:
            yield Listener(wiring, _rules(chat, wiring), group, opened.get(session_key(wiring, thread_id)))


def _rules(chat: MessagingGroup, wiring: Wiring) -> TriggerRules | None:
    rules = rules_of(wiring)
    if rules is None:
        reason = problem(wiring.trigger_rules)
        _log.error("routing.wiring_unusable", chat=chat.platform_id, wiring=wiring.id, reason=reason)
    return rules


def session_key(wiring: Wiring, thread_id: str | None) -> tuple[str, str | None, str | None]:
    """Return agent group, chat and thread that identify a wiring's session (contract 3, session_mode)."""
    match wiring.session_mode:
        case "agent-shared":
            return (wiring.agent_group_id, None, None)
        case "per-thread":
            return (wiring.agent_group_id, wiring.messaging_group_id, thread_id)
        case _:
            return (wiring.agent_group_id, wiring.messaging_group_id, None)


def _sender(connection: Connection, user_id: str) -> SenderPart:
    identities = people.identities(connection, user_id)
    return SenderPart(
        user_id,
        users.get(connection, user_id),
        identities,
        _person(connection, user_id) if len(identities) > 1 else None,
        members.agents_of(connection, identities),
        user_dms.networks_of(connection, user_id),
    )


def _person(connection: Connection, user_id: str) -> str:
    """Return the name of the person behind an identity."""
    named = people.person_id(connection, user_id)
    user = users.get(connection, named)
    return (user and user.display_name) or named


def _pair(connection: Connection, part: ChatPart, user_id: str) -> PairPart:
    if part.chat is None:
        return PairPart({}, frozenset())
    chat = part.chat.id
    agents = dict.fromkeys(each.agent_group.id for each in part.listeners)
    return PairPart(
        {agent: refusals.of_sender(connection, chat, user_id, agent) for agent in agents},
        held_messages.waiting_agents(connection, chat, user_id),
    )
