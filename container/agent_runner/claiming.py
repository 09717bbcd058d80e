"""Claims the rows of a turn (contract 4, Status)."""

from attrs import evolve

from agent_runner import outbound
from agent_runner.inbound import Fetched
from agent_runner.records import Claim, Turn
from agent_runner.selection import Batch
from agent_runner.session import Session
from agent_runner.turn_outcome import ClaimedTurn
from agent_runner.turn_state import TurnState


async def claim(session: Session, batch: Batch, fetched: Fetched) -> ClaimedTurn:
    """Claim the rows, and return the turn over them. Raises StoreBusyError, DatabaseError."""
    claimed = unclaimed(session, batch, fetched)
    now, turn_id = session.seams.clock.now(), claimed.turn.turn_id
    sent = await session.outbound.write(
        lambda connection: outbound.claim(connection, claimed.claims, now, turn_id)
    )
    session.seams.log(
        "turn.started", turn=turn_id, messages=len(fetched.messages), context=len(fetched.context)
    )
    return evolve(claimed, turn=evolve(claimed.turn, already_sent=sent))


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
    )
