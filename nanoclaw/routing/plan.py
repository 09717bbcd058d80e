"""Plans for routing events, each read from the central database in one transaction."""

from datetime import datetime

import structlog
from attrs import Factory, define, evolve, frozen

from nanoclaw.records import (
    Address,
    AgentGroup,
    MessagingGroup,
    Refusal,
    Said,
    Session,
    Webhook,
    Wiring,
)
from nanoclaw.registry.trigger_rules import TriggerRules, problem
from nanoclaw.routing.access import NotAdmitted, person_of, refusal
from nanoclaw.routing.clicks import Waiting, waiting_in
from nanoclaw.routing.engaged import EngagedThreads, is_stop
from nanoclaw.routing.engagement import Engagement, Verdict, judge, rules_of
from nanoclaw.store import Connection, DamagedRow
from nanoclaw.store.central import (
    agent_groups,
    held_messages,
    messaging_groups,
    refusals,
    sessions,
    user_dms,
    users,
    wirings,
)
from nanoclaw.store.central.people import identities
from nanoclaw.system.patterns import InThread

Routable = Said | Webhook
"""The events that are routed by a plan."""
MAX_PLANS = 4096
"""Limit of kept plans. The oldest makes room for a new one."""
_Key = tuple[Address, bool, str | None, str]

_log = structlog.get_logger()


@frozen
class Target:
    """A wiring of the chat with its agent group, its session, and whether the sender is admitted."""

    wiring: Wiring
    rules: TriggerRules | None
    """The wiring's rules, read once. None: they are invalid, so no message is heard."""
    agent_group: AgentGroup
    session: Session | DamagedRow | None
    """The open session, or the error about its row, or None if there is none yet."""
    refused: NotAdmitted | None
    """The reason why the sender is not admitted, or None if they are."""
    identities: tuple[str, ...] = ()
    """All ids of the sender, who may be a person with several. It is empty if there is none."""

    def waits(self, now: datetime) -> bool:
        """Return whether messages of the sender wait until an admin decides."""
        return self.refused is not None and self.refused.waits(now)

    async def would_hear(self, event: Routable, engaged: EngagedThreads, in_thread: InThread) -> bool:
        """Return whether the wiring takes the event once its sender is let in. This engages nothing."""
        if isinstance(event, Webhook) or self.rules is None:
            return False
        verdict = await self._verdict(event, engaged, in_thread)
        return verdict.engagement != "ignore"

    async def engagement(self, event: Routable, engaged: EngagedThreads, in_thread: InThread) -> Engagement:
        """Return how the wiring treats the event. Note if that engages the agent in a thread, or ends it.

        A webhook is for the agent, as a mention is, but engages it in no thread. An edit that the rules
        ignore is context for the session, which stores it only beside the message that it edits.
        """
        if isinstance(event, Webhook):
            return "ignore" if self.rules is None else "wake"
        verdict = await self._judge(event, engaged, in_thread)
        if verdict.engages:
            await engaged.engage(self.wiring.id, event.address.thread_id)
        beside = event.version and self.rules is not None and self.session is not None
        return "context" if verdict.engagement == "ignore" and beside else verdict.engagement

    async def _judge(self, event: Said, engaged: EngagedThreads, in_thread: InThread) -> Verdict:
        verdict = await self._verdict(event, engaged, in_thread)
        if verdict.engages and not event.version and is_stop(event.message.text):
            engaged.leave(self.wiring.id, event.address.thread_id)
            return evolve(verdict, engages=False)
        return verdict

    async def _verdict(self, event: Said, engaged: EngagedThreads, in_thread: InThread) -> Verdict:
        id_, thread = self.wiring.id, event.address.thread_id
        is_engaged = self.rules is not None and self.rules.sticky and engaged.holds(id_, thread)
        return await judge(self.wiring, self.rules, event.message, in_thread, self.identities, is_engaged)

    def session_key(self, event: Routable) -> tuple[str, str | None, str | None]:
        """Return agent group, chat and thread of the session for the event."""
        return session_key(self.wiring, event.address.thread_id)


@frozen
class Plan:
    """The routing of an event. `chat` is None for a chat without a row."""

    chat: MessagingGroup | None
    targets: tuple[Target, ...]
    user_known: bool
    """False if the sender has no row, or another name."""
    dm_known: bool = False
    """True if the chat need not be noted as the sender's direct chat."""
    person: str | None = None
    """The name of the person, if the sender is one of several linked identities."""
    waiting_for: frozenset[str] = frozenset()
    """The agents that wait for held messages of the sender in this chat. An empty name: any agent."""
    rejected: Refusal | None = None
    """The rejection of the chat, if it has one."""
    waiting: tuple[Waiting, ...] = ()
    """Questions and approvals that wait for an answer in the chat, newest first."""
    damaged: tuple[DamagedRow, ...] = ()
    """The errors about wirings and agents of the chat that are left out."""

    def chat_known(self, event: Routable) -> bool:
        """Return whether the row of the chat is as the network reports it."""
        chat = self.chat
        if isinstance(event, Webhook):
            return chat is not None
        return (
            chat is not None
            and event.chat_name in {None, "", chat.name}
            and event.is_group == chat.is_group
            and self.dm_known
        )

    def releases(self, now: datetime) -> bool:
        """Return whether a held message of the sender need not wait any longer."""
        return bool(self.waiting_for) and any(
            not target.waits(now) and self.waiting_for & {"", target.agent_group.id}
            for target in self.targets
        )


@define(eq=False)
class PlanCache:
    """Plans read under one version of the central database, by address, kind of chat, and sender."""

    _version: int = -1
    _plans: dict[_Key, Plan] = Factory(dict)

    def get(self, event: Routable, version: int) -> Plan | None:
        """Return the plan for the event if it was read under this version, or None."""
        return self._plans.get(_key(event)) if version == self._version else None

    def put(self, event: Routable, version: int, plan: Plan) -> None:
        """Keep a plan. `version` is the version before the plan was read."""
        if version != self._version:
            self._version = version
            self._plans.clear()
        if len(self._plans) >= MAX_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[_key(event)] = plan


def sender_of(event: Routable) -> str | None:
    """Return the id of the sender, or None if there is none or the network does not say."""
    return None if isinstance(event, Webhook) else event.message.sender_id


def name_of(event: Routable) -> str:
    """Return the name of the sender, or of the program that the event comes from."""
    return event.source if isinstance(event, Webhook) else event.message.sender


def _key(event: Routable) -> _Key:
    by_program = isinstance(event, Webhook)
    return event.address, event.is_group, "" if by_program else sender_of(event), name_of(event)


def session_key(wiring: Wiring, thread_id: str | None) -> tuple[str, str | None, str | None]:
    """Return agent group, chat and thread that identify a wiring's session (contract 3, session_mode)."""
    match wiring.session_mode:
        case "agent-shared":
            return (wiring.agent_group_id, None, None)
        case "per-thread":
            return (wiring.agent_group_id, wiring.messaging_group_id, thread_id)
        case _:
            return (wiring.agent_group_id, wiring.messaging_group_id, None)


def plan(connection: Connection, event: Routable) -> Plan:
    """Read the plan for an event. A damaged wiring, agent or session concerns only itself.

    Wirings with invalid rules are logged, once for each plan.

    Raises:
        DamagedRow: the row of the chat or of the sender cannot be read.
    """
    sender = sender_of(event)
    chat = messaging_groups.by_address(connection, event.address.channel_type, event.address.platform_id)
    known = sender is None or _is_known(connection, sender, name_of(event))
    person = person_of(connection, sender)
    if chat is None:  # a card may have been sent there all the same
        return Plan(None, (), known, person=person, waiting=waiting_in(connection, event.address))
    targets = list[Target]()
    found, damaged = wirings.split_for_chat(connection, chat.id)
    ids = identities(connection, sender) if sender is not None else ()
    for wiring in found:
        try:
            targets += filter(None, [_target(connection, event, chat, wiring, ids)])
        except DamagedRow as error:
            damaged.append(error)
    return Plan(
        chat,
        tuple(targets),
        known,
        dm_known=event.is_group or sender is None or _has_dm(connection, sender, chat),
        person=person,
        waiting_for=frozenset()
        if sender is None
        else held_messages.waiting_agents(connection, chat.id, sender),
        rejected=None if targets else refusals.of_chat(connection, chat.id),
        waiting=waiting_in(connection, event.address),
        damaged=tuple(damaged),
    )


def _is_known(connection: Connection, user_id: str, name: str) -> bool:
    user = users.get(connection, user_id)
    return user is not None and name in {"", user.display_name}


def _has_dm(connection: Connection, user_id: str, chat: MessagingGroup) -> bool:
    return user_dms.is_settled(connection, user_id, chat.channel_type, chat.id)


def _target(
    connection: Connection, event: Routable, chat: MessagingGroup, wiring: Wiring, ids: tuple[str, ...]
) -> Target | None:
    """Return a target for an event whose sender has these identities."""
    group = agent_groups.get(connection, wiring.agent_group_id)
    if group is None:
        return None
    rules = rules_of(wiring)
    if rules is None:
        reason = problem(wiring.trigger_rules)
        _log.error("routing.wiring_unusable", chat=chat.platform_id, wiring=wiring.id, reason=reason)
    refused = None if isinstance(event, Webhook) else refusal(connection, chat, group.id, sender_of(event))
    session = _open_session(connection, wiring, event.address.thread_id)
    return Target(wiring, rules, group, session, refused, ids)


def _open_session(
    connection: Connection, wiring: Wiring, thread_id: str | None
) -> Session | DamagedRow | None:
    try:
        return sessions.find_open(connection, *session_key(wiring, thread_id))
    except DamagedRow as error:
        return error
