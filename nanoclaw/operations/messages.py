"""The noun `messages`: where is my message?"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import trio
from attrs import fields, frozen

from nanoclaw.operations.declaration import Between, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.session_files import InSession, of_key
from nanoclaw.operations.types import AgentRef, MessageRef, SessionRef
from nanoclaw.records import Session
from nanoclaw.records.status import RunnerReport
from nanoclaw.store import Connection, NotFound, StoreError
from nanoclaw.store.central import sessions
from nanoclaw.store.session import views as session_views
from nanoclaw.store.session.views import Claim, Delivered, Reply, StoredMessage, ToAgent, Turn

COLUMNS = ("stored_at", "agent", "chat", "sender", "state", "waits_for", "text", "id")
MOST = 1000
SENT = "sent, not confirmed"
"""The state of an answer after an attempt whose outcome nobody knows."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@frozen
class ReplyView:
    """An answer of the agent, and its progress."""

    id: str
    text: str
    answered_at: datetime | None
    status: str
    """pending, sending, delivered or failed; `new` before the host has read it; `sent, not confirmed` if
    nobody knows whether it arrived."""
    delivered_at: datetime | None = None
    platform_message_id: str | None = None
    attempts: int = 0
    next_attempt: datetime | None = None
    error: str | None = None


@frozen
class PassedView:
    """A message of the agent to another agent, and the message that it became there."""

    id: str
    agent_group_id: str
    text: str
    sent_at: datetime | None
    status: str
    """As for an answer."""
    received_in: str | None
    """The session that received it. None if it did not arrive."""
    received_as: str | None
    """Its id in that session."""
    causation_id: str | None
    """The id of the first message of the chain."""
    hops: int | None
    """Number of times that the chain has gone from one agent to another."""
    error: str | None = None


@frozen
class MessageView:
    """A message to an agent, and its progress."""

    id: str
    session_id: str
    agent_group_id: str
    kind: str
    chat: str | None
    sender: str | None
    text: str
    state: str
    """stored, waiting, claimed, answered, delivered, done, failed, undelivered or `sent, not confirmed`."""
    stored_at: datetime | None
    claimed_at: datetime | None
    answered_at: datetime | None
    delivered_at: datetime | None
    due_at: datetime | None
    waits_for: str | None
    """The reason why it has no answer yet; None if it has one, or nothing delays it."""
    tries: int
    error: str | None
    sent_by: str | None = None
    """The session of the agent that sent it; None if no agent did."""
    sent_as: str | None = None
    """Its id in the session that sent it."""
    causation_id: str | None = None
    """The id of the first message of its chain, if an agent sent it."""
    hops: int | None = None
    """Number of times that its chain has gone from one agent to another."""
    caused: tuple[str, ...] = ()
    """The messages to other agents that the turn over it sent, each as `session/id` of the receiver."""


@frozen
class MessageTrace(MessageView):
    """A message with its answers, and what its turn sent to other agents."""

    replies: tuple[ReplyView, ...] = ()
    to_agents: tuple[PassedView, ...] = ()


@frozen
class Messages(Noun):
    """Where is my message: stored, claimed, answered, delivered?"""

    name = "messages"
    summary = "where is my message: stored, claimed, answered, delivered?"
    table = "sessions"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(
        self,
        *,
        agent: AgentRef | None = None,
        session: SessionRef | None = None,
        last: Annotated[int, Between(1, MOST)] = 20,
    ) -> Sequence[MessageView]:
        """List the latest messages to agents, the newest first.

        Args:
            agent: only to this agent.
            session: only in this session.
            last: how many, at most 1,000.
        """
        every = await self._central.run(sessions.every, None)
        places = [
            each for each in every if agent in {None, each.agent_group_id} and session in {None, each.id}
        ]
        query = partial(session_views.latest, limit=last)
        found = await self._ground.files.inbound(places, f"messages {last}", query)
        self._note_problems(found)
        rows = [(one.session, row) for one in found for row in one.value or ()]
        rows.sort(key=lambda each: (each[1].stored_at or LONG_AGO, each[1].seq), reverse=True)
        traces = await self._traced(rows[:last])
        return [MessageView(*(getattr(trace, each.name) for each in fields(MessageView))) for trace in traces]

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, message: MessageRef) -> MessageTrace:
        """Show a message and its answers, with the time of each step, and why it waits.

        Args:
            message: its id, or the beginning of it; `session/id` where several sessions have it.
        """
        session_id, message_id = of_key(message)
        session = await self._central.run(sessions.require, session_id)
        query = partial(session_views.with_ids, text=message_id)
        found = await self._ground.files.inbound([session], "", query)
        rows = [(session, row) for one in found for row in one.value or () if row.id == message_id]
        if not rows:
            raise NotFound(f"there is no message {message_id!r:.140}")
        [view] = await self._traced(rows)
        return view

    # -- how

    async def _traced(self, rows: Sequence[tuple[Session, StoredMessage]]) -> Sequence[MessageTrace]:
        """Add the runner's and the ledger's data to each row; all rows of a session are read at once."""
        by_session = dict[str, tuple[Session, list[StoredMessage]]]()
        for session, row in rows:
            by_session.setdefault(session.id, (session, []))[1].append(row)
        views = dict[tuple[str, str], MessageTrace]()

        async def trace(session: Session, its: Sequence[StoredMessage]) -> None:
            for view in await self._of_session(session, its):
                views[session.id, view.id] = view

        async with trio.open_nursery() as nursery:
            for session, its in by_session.values():
                nursery.start_soon(trace, session, its)
        return [views[session.id, row.id] for session, row in rows]

    async def _of_session(self, session: Session, rows: Sequence[StoredMessage]) -> Sequence[MessageTrace]:
        ids = [row.id for row in rows]
        claims, replies, turns, passed = list[Claim](), list[Reply](), list[Turn](), list[ToAgent]()
        try:
            claims, replies, turns, passed = await self._ground.files.outbound(
                session, partial(_notes, ids=ids)
            )
        except StoreError as error:
            self.note(f"session {session.id}: the runner's file cannot be read: {error}")
        sent = [*(each.id for each in replies), *(each.id for each in passed)]
        query = partial(session_views.ledger, ids=sent)
        found: Sequence[InSession] = await self._ground.files.inbound([session], "", query) if sent else ()
        self._note_problems(found)
        ledger = {entry.message_out_id: entry for one in found for entry in one.value or ()}
        runner = _Notes({claim.message_id: claim for claim in claims}, _begun(turns), replies, passed, ledger)
        waits_for = await self._hindrance(session)
        return [_view(session, row, runner, waits_for, self._ground.now()) for row in rows]

    async def _hindrance(self, session: Session) -> str | None:
        """Return why messages of a session wait, judged by its status and its runner."""
        if session.status != "active":
            return f"its session is {session.status}"
        if not self._ground.sessions.alive:
            return "no host is running"
        details = await self._ground.sessions.describe(session.id)
        if details is None:
            return None
        return details.quarantined or details.unreadable or _failure(details.runner)


@frozen
class _Notes:
    """The notes of runner and host about the messages of a session, besides their own rows."""

    claims: Mapping[str, Claim]
    begun: Mapping[str, datetime]
    """When the turn of a message began, by the message's id."""
    replies: Sequence[Reply]
    passed: Sequence[ToAgent]
    ledger: Mapping[str, Delivered]

    def claimed_at(self, message_id: str) -> datetime | None:
        """Return when the runner claimed a message. An outcome replaces the claim; its turn has the time."""
        claim = self.claims.get(message_id)
        if claim is not None and claim.status == "processing":
            return claim.changed_at
        return self.begun.get(message_id)

    def answers(self, message_id: str) -> tuple[ReplyView, ...]:
        """Return the answers to a message, in order."""
        return tuple(
            _reply(reply, self.ledger.get(reply.id))
            for reply in self.replies
            if reply.in_reply_to == message_id
        )

    def to_agents(self, message_id: str) -> tuple[PassedView, ...]:
        """Return what the turn over a message sent to other agents, in order."""
        claim = self.claims.get(message_id)
        turn_id = None if claim is None else claim.turn_id
        return tuple(
            _passed(sent, self.ledger.get(sent.id)) for sent in self.passed if sent.turn_id == turn_id
        )


def _begun(turns: Sequence[Turn]) -> Mapping[str, datetime]:
    return {id_: turn.started_at for turn in turns if turn.started_at for id_ in turn.message_ids}


def _failure(runner: RunnerReport) -> str | None:
    if not runner.failures:
        return None
    again = f", and starts again in {runner.next_start_in_s:.0f} s" if runner.next_start_in_s else ""
    return f"its runner failed {runner.failures} times{again}: {runner.last_failure}"


def _notes(
    connection: Connection, ids: Sequence[str]
) -> tuple[list[Claim], list[Reply], list[Turn], list[ToAgent]]:
    claims = session_views.claims(connection, ids)
    return (
        claims,
        session_views.replies(connection, ids),
        session_views.turns(connection),
        session_views.to_agents(connection, [claim.turn_id for claim in claims if claim.turn_id]),
    )


def _view(
    session: Session, row: StoredMessage, notes: _Notes, waits_for: str | None, now: datetime
) -> MessageTrace:
    answers, claim = notes.answers(row.id), notes.claims.get(row.id)
    passed, cause = notes.to_agents(row.id), row.cause
    delivered = [each.delivered_at for each in answers if each.status == "delivered" and each.delivered_at]
    answered = [each.answered_at for each in answers if each.answered_at]
    state = _state(row, claim, answers, now)
    return MessageTrace(
        id=row.id,
        session_id=session.id,
        agent_group_id=session.agent_group_id,
        kind=row.kind,
        chat=row.address,
        sender=row.sender,
        text=row.text,
        state=state,
        stored_at=row.stored_at,
        claimed_at=notes.claimed_at(row.id),
        answered_at=min(answered, default=None),
        delivered_at=max(delivered, default=None),
        due_at=row.due_at,
        waits_for=waits_for if state in {"stored", "waiting", "claimed"} else None,
        tries=row.tries,
        error=next((each.error for each in answers if each.error), None) or (claim.error if claim else None),
        sent_by=None if cause is None else cause.session_id,
        sent_as=None if cause is None else cause.message_out_id,
        causation_id=None if cause is None else cause.causation_id,
        hops=None if cause is None else cause.hops,
        caused=tuple(f"{each.received_in}/{each.received_as}" for each in passed if each.received_as),
        replies=answers,
        to_agents=passed,
    )


def _state(row: StoredMessage, claim: Claim | None, answers: Sequence[ReplyView], now: datetime) -> str:
    states = {each.status for each in answers}
    if row.status == "failed":
        return "failed"
    if row.status == "pending" and not (claim and claim.status in {"completed", "failed"}):
        if claim is not None and claim.status == "processing":
            return "claimed"
        return "waiting" if row.due_at is not None and row.due_at > now else "stored"
    first = next((each for each in ("failed", SENT) if each in states), None)
    if first is not None:
        return "undelivered" if first == "failed" else first
    if states == {"delivered"}:
        return "delivered"
    return "answered" if states else "done"


def _reply(reply: Reply, entry: Delivered | None) -> ReplyView:
    if entry is None:
        return ReplyView(reply.id, reply.text, reply.at, "new")
    return ReplyView(
        reply.id,
        reply.text,
        reply.at,
        SENT if entry.doubtful else entry.status,
        entry.delivered_at if entry.status == "delivered" else None,
        entry.platform_message_id,
        entry.attempts,
        entry.next_attempt,
        entry.error,
    )


def _passed(sent: ToAgent, entry: Delivered | None) -> PassedView:
    """Return a message to another agent. Its receipt names the session and the message there."""
    if entry is None:
        return PassedView(
            sent.id, sent.agent_group_id, sent.text, sent.at, "new", None, None, causation_id=None, hops=None
        )
    session_id, _, message_id = (entry.platform_message_id or "").partition("/")
    return PassedView(
        id=sent.id,
        agent_group_id=sent.agent_group_id,
        text=sent.text,
        sent_at=sent.at,
        status=entry.status,
        received_in=session_id or None,
        received_as=message_id or None,
        causation_id=entry.causation_id,
        hops=entry.hops,
        error=entry.error,
    )
