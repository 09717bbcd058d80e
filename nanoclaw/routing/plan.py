"""Plans for routing events, each read from the central database in one transaction."""

import structlog
from attrs import Factory, define, evolve, frozen

from nanoclaw.records import (
    Address,
    AgentGroup,
    MessagingGroup,
    Said,
    Session,
    Webhook,
    Wiring,
)
from nanoclaw.registry.trigger_rules import TriggerRules, problem
from nanoclaw.routing.access import refusal
from nanoclaw.routing.clicks import Waiting, waiting_in
from nanoclaw.routing.engaged import EngagedThreads, is_stop
from nanoclaw.routing.engagement import Engagement, Verdict, judge, rules_of
from nanoclaw.store import Connection, DamagedRow
from nanoclaw.store.central import agent_groups, messaging_groups, sessions, users, wirings
from nanoclaw.store.central.people import identities
from nanoclaw.system.patterns import InThread

Routable = Said | Webhook
"""The events that are routed by a plan."""
MAX_PLANS = 4096

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
    refused: str | None
    """The reason why the sender is not admitted, or None if they are."""

    identities: tuple[str, ...] = ()
    """All ids of the sender, who may be a person with several. It is empty if there is none."""

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
        id_, thread, message = self.wiring.id, event.address.thread_id, event.message
        is_engaged = self.rules is not None and self.rules.sticky and engaged.holds(id_, thread)
        verdict = await judge(self.wiring, self.rules, message, in_thread, self.identities, is_engaged)
        if verdict.engages and not event.version and is_stop(message.text):
            engaged.leave(id_, thread)
            return evolve(verdict, engages=False)
        return verdict

    def session_key(self, event: Routable) -> tuple[str, str | None, str | None]:
        """Return agent group, chat and thread of the session for the event."""
        return session_key(self.wiring, event.address.thread_id)


@frozen
class Plan:
    """The routing of an event. `chat` is None for a chat without a row."""

    chat: MessagingGroup | None
    targets: tuple[Target, ...]
    user_known: bool
    waiting: tuple[Waiting, ...] = ()
    """Questions and approvals that wait for an answer in the chat, newest first."""
    damaged: tuple[DamagedRow, ...] = ()
    """The errors about wirings and agents of the chat that are left out."""


@define(eq=False)
class PlanCache:
    """Plans read under one version of the central database, by address, sender id and sender name."""

    _version: int = -1
    _plans: dict[tuple[Address, str, str], Plan] = Factory(dict)

    def get(self, event: Routable, version: int) -> Plan | None:
        """Return the plan for the event if it was read under this version, or None."""
        return self._plans.get(_key(event)) if version == self._version else None

    def put(self, event: Routable, version: int, plan: Plan) -> None:
        """Keep a plan. `version` is the version before the plan was read."""
        if version != self._version or len(self._plans) >= MAX_PLANS:
            self._version = version
            self._plans.clear()
        self._plans[_key(event)] = plan


def _key(event: Routable) -> tuple[Address, str, str]:
    if isinstance(event, Webhook):
        return event.address, "", ""
    return event.address, event.message.sender_id, event.message.sender


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
    chat = messaging_groups.by_address(connection, event.address.channel_type, event.address.platform_id)
    known = isinstance(event, Webhook) or _is_known(connection, event)
    if chat is None:
        return Plan(None, (), known)
    targets = list[Target]()
    found, damaged = wirings.split_for_chat(connection, chat.id)
    for wiring in found:
        if reason := problem(wiring.trigger_rules):
            _log.error("routing.wiring_unusable", chat=chat.platform_id, wiring=wiring.id, reason=reason)
        try:
            targets += filter(None, [_target(connection, event, chat, wiring)])
        except DamagedRow as error:
            damaged.append(error)
    waiting = waiting_in(connection, event.address)
    return Plan(chat, tuple(targets), known, waiting, tuple(damaged))


def _is_known(connection: Connection, event: Said) -> bool:
    user = users.get(connection, event.message.sender_id)
    return user is not None and user.display_name == event.message.sender


def _target(connection: Connection, event: Routable, chat: MessagingGroup, wiring: Wiring) -> Target | None:
    group = agent_groups.get(connection, wiring.agent_group_id)
    if group is None:
        return None
    return Target(
        wiring,
        rules_of(wiring),
        group,
        _open_session(connection, wiring, event.address.thread_id),
        None if isinstance(event, Webhook) else refusal(connection, chat, group.id, event.message.sender_id),
        () if isinstance(event, Webhook) else identities(connection, event.message.sender_id),
    )


def _open_session(
    connection: Connection, wiring: Wiring, thread_id: str | None
) -> Session | DamagedRow | None:
    try:
        return sessions.find_open(connection, *session_key(wiring, thread_id))
    except DamagedRow as error:
        return error
