"""Rows that a turn takes while it runs, completed only if its result says so (contract 4, Status)."""

from collections.abc import Sequence
from contextlib import suppress

import trio

from agent_runner import outbound
from agent_runner.errors import InboundUnavailableError
from agent_runner.extras import Extras
from agent_runner.looking import fetch, rest, survey
from agent_runner.records import Claim, Inbound, Turn
from agent_runner.selection import FollowUps
from agent_runner.session import Session

PAUSE_WITHOUT_HOST = 1.0


async def next_follow_ups(session: Session, turn: Turn, extras: Extras) -> Sequence[Inbound]:
    """Wait for rows that the turn may take, and claim them in one commit; at most 200, oldest first.

    For a turn over a message that was tried before they never come: it runs alone. Raises StoreBusyError,
    DatabaseError.
    """
    if any(message.tries for message in turn.messages):
        await trio.sleep_forever()
    while True:
        seen = session.changes.count
        picker = FollowUps(session.seams.clock.now(), extras.barred)
        with suppress(InboundUnavailableError):  # the host is in mid-commit, or gone; the loop tells of it
            await survey(session, picker, outbound.unclaimed)
            if taken := await _take(session, turn, extras, picker.ids):
                return taken
        await rest(session, seen, picker.next_due)


async def _take(session: Session, turn: Turn, extras: Extras, ids: Sequence[str]) -> Sequence[Inbound]:
    if not ids:
        return ()
    fetched = await fetch(session, ids)
    rows = sorted((*fetched.messages, *fetched.context), key=lambda row: row.seq)
    claims = [Claim(row.id, row.tries) for row in rows]
    now = session.seams.clock.now()
    # Another task of the provider may have asked at the same time: whoever commits first has a row.
    free = await session.own.write(lambda connection: outbound.join(connection, claims, now, turn.turn_id))
    taken = tuple(row for row in rows if row.id in free)
    extras.follow_ups.extend(taken)
    session.seams.log("turn.followed_up", turn=turn.turn_id, messages=len(taken))
    return taken
