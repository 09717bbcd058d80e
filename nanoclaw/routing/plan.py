"""Plans for routing events, composed of parts that are read from the central database."""

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
from nanoclaw.registry import Changes
from nanoclaw.registry.trigger_rules import TriggerRules
from nanoclaw.routing.access import NotAdmitted, by_policy, unidentified
from nanoclaw.routing.clicks import Waiting
from nanoclaw.routing.engaged import EngagedThreads, is_stop
from nanoclaw.routing.engagement import Engagement, Verdict, judge
from nanoclaw.routing.plan_cache import PlanCache
from nanoclaw.routing.plan_parts import ChatPart, Listener, Parts, read_parts, session_key
from nanoclaw.store import DamagedRow, Reader
from nanoclaw.system.patterns import InThread

Routable = Said | Webhook
"""The events that are routed by a plan."""

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


def sender_of(event: Routable) -> str | None:
    """Return the id of the sender, or None if there is none or the network does not say."""
    return None if isinstance(event, Webhook) else event.message.sender_id


def name_of(event: Routable) -> str:
    """Return the name of the sender, or of the program that the event comes from."""
    return event.source if isinstance(event, Webhook) else event.message.sender


def composed(parts: Parts, event: Routable) -> Plan:
    """Return the plan for an event from its parts."""
    part, sender = parts.chat or ChatPart(None), parts.sender
    name = name_of(event)
    known = sender is None or (sender.user is not None and name in {"", sender.user.display_name})
    person = None if sender is None else sender.person
    if part.chat is None:
        return Plan(None, (), known, person=person, waiting=part.waiting)
    chat = part.chat
    return Plan(
        chat,
        tuple(_target(each, chat, event, parts) for each in part.listeners),
        known,
        dm_known=event.is_group or sender is None or part.is_direct or chat.channel_type in sender.networks,
        person=person,
        waiting_for=frozenset() if parts.pair is None else parts.pair.waiting_for,
        rejected=part.rejected,
        waiting=part.waiting,
        damaged=part.damaged,
    )


def _target(listener: Listener, chat: MessagingGroup, event: Routable, parts: Parts) -> Target:
    sender = parts.sender
    return Target(
        listener.wiring,
        listener.rules,
        listener.agent_group,
        listener.session,
        None if isinstance(event, Webhook) else _refused(listener.agent_group.id, chat, parts),
        () if sender is None else sender.identities,
    )


def _refused(agent_group_id: str, chat: MessagingGroup, parts: Parts) -> NotAdmitted | None:
    """Return why the sender is not admitted, as `access.refusal` does."""
    if parts.sender is None:
        return unidentified(chat)
    if parts.sender.may_talk_to(agent_group_id):
        return None
    return by_policy(chat, None if parts.pair is None else parts.pair.refused.get(agent_group_id))


@define(eq=False)
class Plans:
    """Plans for events. Their parts are kept until a commit changes them."""

    _central: Reader
    _changes: Changes
    _cache: PlanCache = Factory(PlanCache)
    _version: int = 0
    """The version of the central database under which the kept parts are valid."""

    async def find(self, event: Routable) -> Plan:
        """Return the plan for an event, of one state of the database.

        Wirings with invalid rules, and damaged ones, are logged when they are read.

        Raises:
            DamagedRow: the row of the chat or of the sender cannot be read.
            StoreError: the database cannot be read.
        """
        self._refresh()
        sender = sender_of(event)
        kept = self._cache.get(event.address, sender)
        if kept.complete(sender):
            return composed(kept, event)
        found = await self._read(event.address, sender, kept)
        if kept.chat is None:
            _log_damaged(event.address, found)
        return composed(found, event)

    async def _read(self, address: Address, sender: str | None, kept: Parts) -> Parts:
        version = self._version
        found = await self._central.run(read_parts, address, sender, kept)
        if self._changes.version == version:
            self._cache.put(address, found)
            return found
        return await self._central.run(read_parts, address, sender, Parts())

    def _refresh(self) -> None:
        self._cache.drop(self._changes.since(self._version))
        self._version = self._changes.version


def _log_damaged(address: Address, found: Parts) -> None:
    for damaged in found.chat.damaged if found.chat is not None else ():
        _log.error("routing.row_damaged", chat=address.platform_id, reason=str(damaged))
