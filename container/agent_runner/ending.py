"""How a turn ends: its outcome in one transaction (contract 4, Status)."""

from collections.abc import Container, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from agent_runner import events, outbound
from agent_runner.errors import ProviderError
from agent_runner.extras import Extras
from agent_runner.inbound import Fetched
from agent_runner.outbound import Ack
from agent_runner.records import Address, Claim, Draft, Inbound, Reply, Result, Turn
from agent_runner.session import Session
from agent_runner.store import Connection

RETRY_AFTER = timedelta(seconds=30)


@frozen
class Work:
    """A claimed turn and what its end needs."""

    turn: Turn
    claims: tuple[Claim, ...]
    omitted: tuple[Claim, ...]
    fetched: Fetched
    extras: Extras

    @property
    def rows(self) -> tuple[Inbound, ...]:
        """All that the provider has seen."""
        return (*self.fetched.messages, *self.fetched.context, *self.extras.follow_ups)

    @property
    def sequence_floor(self) -> int:
        """The largest inbound number seen."""
        return max(self.fetched.sequence_floor, *(row.seq for row in self.rows))


async def end(session: Session, work: Work, outcome: Result | ProviderError) -> None:
    """Write what became of a turn. Raises StoreBusyError, DatabaseError."""
    if isinstance(outcome, ProviderError):
        await _release(session, work, outcome)
    else:
        await _complete(session, work, outcome)


async def _release(session: Session, work: Work, error: ProviderError) -> None:
    now = session.seams.clock.now()
    ack = Ack("released", work.turn.turn_id, error.retry_at or now + RETRY_AFTER, error.reason)
    await session.own.write(lambda connection: _write_release(connection, work, ack, now))
    session.seams.log("turn.released", level="warning", turn=work.turn.turn_id, reason=error.reason)


def _write_release(connection: Connection, work: Work, ack: Ack, now: datetime) -> None:
    outbound.give_back(connection, work.extras.left(()), work.turn.turn_id)
    outbound.acknowledge(connection, work.extras.answers, now, ack)
    outbound.close(connection, work.claims, now, ack)


@frozen
class _Outcome:
    """What a result comes to: `homeless` replies have nowhere to go; `consumed` follow-ups are closed."""

    drafts: Sequence[Draft]
    homeless: Sequence[Reply]
    consumed: Container[object]


async def _complete(session: Session, work: Work, result: Result) -> None:
    outcome = _outcome(session, work, result)
    now = session.seams.clock.now()
    await session.own.write(lambda connection: _write_end(connection, work, outcome, now))
    session.seams.log("turn.ended", turn=work.turn.turn_id, replies=len(outcome.drafts))


def _outcome(session: Session, work: Work, result: Result) -> _Outcome:
    replies = [(reply, _address(work, reply)) for reply in result.replies if reply.text.strip()]
    return _Outcome(
        [_draft(session, work.turn, reply, address) for reply, address in replies if address],
        [reply for reply, address in replies if address is None],
        {*result.consumed, *(reply.in_reply_to for reply in result.replies)},
    )


def _write_end(connection: Connection, work: Work, outcome: _Outcome, now: datetime) -> None:
    # First, while all that the turn has sent is what it sent before its end.
    outbound.give_back(connection, work.extras.left(outcome.consumed), work.turn.turn_id)
    for draft in outcome.drafts:
        outbound.send(connection, draft, work.sequence_floor)
    ack = Ack("completed", work.turn.turn_id)
    outbound.acknowledge(connection, (*work.omitted, *work.extras.consumed(outcome.consumed)), now, ack)
    outbound.close(connection, work.claims, now, ack)
    for reply in outcome.homeless:
        _fail_homeless(connection, work, reply, now)
    outbound.forget(connection, work.turn.turn_id)


def _fail_homeless(connection: Connection, work: Work, reply: Reply, now: datetime) -> None:
    """An answer that has nowhere to go would come to the same at every try."""
    reason = "the answer has no address: neither its message nor session_routing has one"
    answered = [Claim(row.id, row.tries) for row in work.rows if row.id == reply.in_reply_to]
    outbound.acknowledge(connection, answered, now, Ack("failed", work.turn.turn_id, error=reason))
    events.record(connection, now, "error", reply.in_reply_to, turn_id=work.turn.turn_id, reason=reason)


def _draft(session: Session, turn: Turn, reply: Reply, address: Address) -> Draft:
    return Draft(
        session.seams.new_id("out"),
        session.seams.clock.now(),
        address,
        {"text": reply.text},
        turn.turn_id,
        in_reply_to=reply.in_reply_to,
    )


def _address(work: Work, reply: Reply) -> Address | None:
    """Where a reply goes: to where the message it answers came from, else to the session's own chat."""
    answered = (row for row in work.rows if row.id == reply.in_reply_to)
    return next((row.address for row in answered if row.address), work.fetched.routing)
