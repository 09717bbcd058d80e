"""Claims the rows of a turn (contract 4, Status)."""

from collections.abc import Sequence
from contextlib import suppress

from attrs import evolve

from agent_runner import inbound, outbound
from agent_runner.errors import InboundUnavailableError
from agent_runner.inbound import Fetched
from agent_runner.records import Claim, Inbound, Sent, Turn
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.turns.outcome import ClaimedTurn
from agent_runner.turns.selection import Batch
from agent_runner.turns.state import TurnState


async def claim(session: Session, batch: Batch, fetched: Fetched) -> ClaimedTurn:
    """Claim the rows, and return the turn over them. Raises StoreBusyError, DatabaseError."""
    claimed = unclaimed(session, batch, fetched)
    now, turn_id = session.seams.clock.now(), claimed.turn.turn_id

    def change(connection: Connection) -> tuple[tuple[Sent, ...], list[str]]:
        return outbound.claim(connection, claimed.claims, now, turn_id), outbound.stopped(connection)

    sent, stopped = await session.outbound.write(change)
    session.seams.log(
        "turn.started", turn=turn_id, messages=len(fetched.messages), context=len(fetched.context)
    )
    context = (*await _read_again(session, stopped), *claimed.turn.context)
    return evolve(claimed, turn=evolve(claimed.turn, already_sent=sent, context=context))


async def _read_again(session: Session, stopped: Sequence[str]) -> Sequence[Inbound]:
    """Return the messages of stopped turns; none if inbound.db cannot be read now."""
    now = session.seams.clock.now()
    with suppress(InboundUnavailableError):
        if stopped:
            return await session.inbound.read(lambda connection: inbound.read_again(connection, stopped, now))
    return ()


def unclaimed(session: Session, batch: Batch, fetched: Fetched) -> ClaimedTurn:
    """Return the turn over the rows without a claim, for an outcome that is committed at once."""
    claims = tuple(Claim(row.id, row.tries) for row in (*fetched.messages, *fetched.context))
    state = TurnState({claim.id for claim in batch.omitted})
    return ClaimedTurn(_turn(session, batch, fetched), claims, batch.omitted, fetched, state)


def _turn(session: Session, batch: Batch, fetched: Fetched) -> Turn:
    return Turn(
        session.seams.new_id("turn"),
        fetched.messages,
        fetched.context,
        context_omitted=len(batch.omitted),
        assistant_name=session.config.assistant_name,
        agent_group_id=session.config.agent_group_id,
        agent_group_name=session.config.agent_group_name,
        timezone=session.config.timezone,
        destinations=fetched.destinations,
        home=next((row.address for row in fetched.messages if row.address), fetched.routing),
        admin_user_ids=session.config.admin_user_ids,
        now=session.seams.clock.now(),
    )
