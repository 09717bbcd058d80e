"""Follow-ups: rows that a turn claims while it runs (contract 4, Status).

They are completed only if the turn's result names them.
"""

from collections.abc import Sequence
from contextlib import suppress

import trio

from agent_runner import outbound
from agent_runner.errors import InboundUnavailableError
from agent_runner.polling import fetch, scan, wait_for_change
from agent_runner.records import Claim, Inbound, Turn
from agent_runner.session import Session
from agent_runner.turns.selection import FollowUps
from agent_runner.turns.state import TurnState


async def next_follow_ups(session: Session, turn: Turn, state: TurnState) -> Sequence[Inbound]:
    """Wait for rows that the turn may take, and claim at most 200 in one commit, oldest first.

    A turn over a message that was tried before runs alone, so this never returns. Raises StoreBusyError,
    DatabaseError.
    """
    if any(message.tries for message in turn.messages):
        await trio.sleep_forever()
    while True:
        seen = session.changes.count
        picker = FollowUps(session.seams.clock.now(), state.excluded)
        with suppress(InboundUnavailableError):  # the loop reports it
            await scan(session, picker, outbound.unclaimed)
            if taken := await _take(session, turn, state, picker.ids):
                return taken
        await wait_for_change(session, seen, picker.next_due)


async def _take(session: Session, turn: Turn, state: TurnState, ids: Sequence[str]) -> Sequence[Inbound]:
    if not ids:
        return ()
    fetched = await fetch(session, ids)
    rows = sorted((*fetched.messages, *fetched.context), key=lambda row: row.seq)
    claims = [Claim(row.id, row.tries) for row in rows]
    now = session.seams.clock.now()
    # Two tasks of the provider may ask at the same time: the first to commit gets a row.
    free = await session.outbound.write(
        lambda connection: outbound.claim_more(connection, claims, now, turn.turn_id)
    )
    taken = tuple(row for row in rows if row.id in free)
    state.follow_ups.extend(taken)
    session.seams.log("turn.followed_up", turn=turn.turn_id, messages=len(taken))
    return taken
