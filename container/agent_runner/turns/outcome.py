"""The outcome of a turn, committed in one transaction (contract 4, Status)."""

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import field, frozen

from agent_runner import events, inbound, outbound, session_state
from agent_runner.errors import InboundUnavailableError, ProviderError
from agent_runner.inbound import Fetched
from agent_runner.outbound import Ack
from agent_runner.records import Address, Claim, Inbound, OutgoingRow, Reply, Result, Turn
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.turns.state import TurnState

RETRY_AFTER = timedelta(seconds=30)


@frozen
class ClaimedTurn:
    """A turn whose messages are claimed, and the data for its outcome."""

    turn: Turn
    claims: tuple[Claim, ...]
    omitted: tuple[Claim, ...]
    fetched: Fetched
    turn_state: TurnState

    @property
    def rows(self) -> tuple[Inbound, ...]:
        """The rows that the provider was given."""
        return (*self.fetched.messages, *self.fetched.context, *self.turn_state.follow_ups)

    @property
    def sequence_floor(self) -> int:
        """The largest inbound `seq` that was read."""
        return max(self.fetched.sequence_floor, *(row.seq for row in self.rows))


def change_nothing(_connection: Connection, _now: datetime) -> None:
    """Change nothing."""


@frozen
class Ending:
    """A result that the runner itself gives a turn."""

    result: Result = field(factory=Result)
    also: Callable[[Connection, datetime], None] = change_nothing
    """Further changes in the transaction of the result."""


async def commit_outcome(
    session: Session, claimed: ClaimedTurn, outcome: Result | ProviderError | Ending
) -> None:
    """Write the outcome of a turn. Raises StoreBusyError, DatabaseError."""
    match outcome:
        case ProviderError():
            await _release(session, claimed, outcome)
        case Result():
            await _complete(session, claimed, Ending(outcome, outbound.forget_stopped))
        case Ending():
            await _complete(session, claimed, outcome)


async def _release(session: Session, claimed: ClaimedTurn, error: ProviderError) -> None:
    now = session.seams.clock.now()
    ack = Ack("released", claimed.turn.turn_id, error.retry_at or now + RETRY_AFTER, error.reason)

    def change(connection: Connection) -> None:
        session.usage.write(connection)
        _write_release(connection, claimed, ack, now)

    await session.outbound.write(change)
    session.seams.log("turn.released", level="warning", turn=claimed.turn.turn_id, reason=error.reason)


def _write_release(connection: Connection, claimed: ClaimedTurn, ack: Ack, now: datetime) -> None:
    outbound.unclaim(connection, claimed.turn_state.unconsumed(()), claimed.turn.turn_id)
    outbound.acknowledge(connection, claimed.turn_state.answers, now, ack)
    outbound.close(connection, claimed.claims, now, ack)


@frozen
class _Outcome:
    """A result as rows: `unaddressed` replies have nowhere to go, `consumed` follow-ups are completed.

    `nowhere` are replies to destinations that are gone.
    """

    outgoing: Sequence[OutgoingRow]
    unaddressed: Sequence[Reply]
    nowhere: Sequence[Reply]
    consumed: Container[object]
    state: Mapping[str, str | None]


async def _complete(session: Session, claimed: ClaimedTurn, ending: Ending) -> None:
    named = await _named_addresses(session, claimed, ending.result)
    outcome = _outcome(session, claimed, ending.result, named)
    now = session.seams.clock.now()

    def change(connection: Connection) -> None:
        session.usage.write(connection)
        _write_end(connection, claimed, outcome, now)
        ending.also(connection, now)

    await session.outbound.write(change)
    session.seams.log("turn.ended", turn=claimed.turn.turn_id, replies=len(outcome.outgoing))
    for reply in outcome.nowhere:
        session.seams.log("turn.no_destination", level="error", turn=claimed.turn.turn_id, to=reply.to)


Named = Mapping[str, Address | None]
"""The addresses of destinations, by name. None for one that is gone."""


async def _named_addresses(session: Session, claimed: ClaimedTurn, result: Result) -> Named:
    """Look up where replies go by name. Destinations change, so they are read now if the host lets us."""
    names, home = {reply.to for reply in result.replies if reply.to is not None}, claimed.turn.home
    if not names:
        return {}
    try:
        return await session.inbound.read(
            lambda connection: {name: inbound.address_for(connection, name, home) for name in names}
        )
    except InboundUnavailableError:  # the host checks the addresses anyway
        known = {each.name: inbound.in_thread(each.address, home) for each in claimed.turn.destinations}
        return {name: known.get(name) for name in names}


def _outcome(session: Session, claimed: ClaimedTurn, result: Result, named: Named) -> _Outcome:
    replies = [(reply, _address(claimed, reply, named)) for reply in result.replies if reply.text.strip()]
    lost = [reply for reply, address in replies if address is None]
    return _Outcome(
        [_outgoing_row(session, claimed, reply, address) for reply, address in replies if address],
        [reply for reply in lost if reply.to is None],
        [reply for reply in lost if reply.to is not None],
        {*result.consumed, *(reply.in_reply_to for reply in result.replies)},
        result.state,
    )


def _write_end(connection: Connection, claimed: ClaimedTurn, outcome: _Outcome, now: datetime) -> None:
    # This comes first: `unclaim` checks if tools have sent rows, so no reply may be written yet.
    outbound.unclaim(connection, claimed.turn_state.unconsumed(outcome.consumed), claimed.turn.turn_id)
    for row in outcome.outgoing:
        outbound.send(connection, row, claimed.sequence_floor)
    session_state.apply(connection, outcome.state, now)
    ack = Ack("completed", claimed.turn.turn_id)
    outbound.acknowledge(
        connection, (*claimed.omitted, *claimed.turn_state.consumed(outcome.consumed)), now, ack
    )
    outbound.close(connection, claimed.claims, now, ack)
    for reply in outcome.unaddressed:
        _fail_unaddressed(connection, claimed, reply, now)
    for reply in outcome.nowhere:
        reason = f"there is no destination {reply.to!r:.80} any more, so its text was not sent"
        events.record(connection, now, "error", turn_id=claimed.turn.turn_id, reason=reason)
    outbound.forget_turn(connection, claimed.turn.turn_id)


def _fail_unaddressed(connection: Connection, claimed: ClaimedTurn, reply: Reply, now: datetime) -> None:
    """Fail a message whose answer has no address. Another try would fail, too."""
    reason = "the answer has no address: neither its message nor session_routing has one"
    answered = [Claim(row.id, row.tries) for row in claimed.rows if row.id == reply.in_reply_to]
    outbound.acknowledge(connection, answered, now, Ack("failed", claimed.turn.turn_id, error=reason))
    events.record(connection, now, "error", reply.in_reply_to, turn_id=claimed.turn.turn_id, reason=reason)


def _outgoing_row(session: Session, claimed: ClaimedTurn, reply: Reply, address: Address) -> OutgoingRow:
    return OutgoingRow(
        session.seams.new_id("out"),
        session.seams.clock.now(),
        address,
        {"markdown" if reply.markdown else "text": reply.text},
        claimed.turn.turn_id,
        in_reply_to=reply.in_reply_to if reply.to is None else _answered(claimed, reply, address),
    )


def _answered(claimed: ClaimedTurn, reply: Reply, address: Address) -> str | None:
    """Name the message that a reply to a destination answers: its own, or one that came from there."""
    rows = sorted(claimed.rows, key=lambda row: row.id != reply.in_reply_to)
    return next((row.id for row in rows if row.trigger and row.address == address), None)


def _address(claimed: ClaimedTurn, reply: Reply, named: Named) -> Address | None:
    """Return the named address, else that of the message that is answered, else the session's own chat."""
    if reply.to is not None:
        return named[reply.to]
    answered = (row for row in claimed.rows if row.id == reply.in_reply_to)
    return next((row.address for row in answered if row.address), claimed.fetched.routing)
