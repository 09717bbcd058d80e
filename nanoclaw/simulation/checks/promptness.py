"""Checks of promptness: a session that had time enough leaves nothing undone.

Slow polls, sweeps and the next message repair a lost wake-up. So a lost one costs time only, and time is what
these checks ask about.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from nanoclaw.records import SessionPaths
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.store.times import to_text
from nanoclaw.testing.invariants import rows

PROMPT_S = 1.7
"""Seconds within which everything has happened that waits for nothing: work takes no virtual time."""


STARTED_S = 150.0
"""Seconds within which a runner starts after any fault: session and keeper may each wait a minute."""


STUCK_S = 195.0
"""A runner that stands still with a claim is replaced within this: a tool may take two minutes, a last beat
comes up to 10 s later, and sweeps every half minute, of which one sees that and one misses the next.
"""


def due_work_is_claimed_at_once(snapshot: Snapshot) -> Iterator[str]:
    """A free runner, or a turn that waits for follow-ups, claims what is due."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.resting or id_ in snapshot.listening:
            acks = _acks(paths)
            for message, tries in due(paths, snapshot.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if id_ in snapshot.resting and mine in ([], ["processing"]):
                    yield f"{id_}: {message} is due, and its runner does nothing"
                if id_ in snapshot.listening and not tries and message not in acks:
                    yield f"{id_}: {message} is due, and the turn that waits for follow-ups does not have it"


def replies_are_seen_at_once(snapshot: Snapshot) -> Iterator[str]:
    """All rows of the runner are in the ledger, and their outcomes are settled."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.attended:
            [(said,)] = rows(paths.outbound_db, "SELECT coalesce(max(seq), 0) FROM messages_out")
            seen = rows(
                paths.inbound_db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'outbound_seq'"
            )
            if said > max([0, *(mark for (mark,) in seen)]):
                yield f"{id_}: {said} was said, and the ledger ends at {seen}"
            acks = _acks(paths)
            for message, tries in due(paths, snapshot.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if mine not in ([], ["processing"]):
                    yield f"{id_}: {message} is {mine[0]}, and that is not settled"


def replies_are_tried_at_once(snapshot: Snapshot) -> Iterator[str]:
    """While nothing is being sent, the first delivery waits only for its time or its channel.

    In a session that nobody sees to, nothing waits for long.
    """
    sql = """
        SELECT message_out_id, iif(error IS NULL, coalesce(next_attempt, ''), next_attempt) <= :since AS waits
        FROM deliveries WHERE status <> 'final' AND message_out_id NOT LIKE '%@%'
          AND NOT EXISTS (SELECT 1 FROM deliveries WHERE status = 'sending')
        ORDER BY seq, rowid LIMIT 1
        """
    for paths in snapshot.sessions():
        forgotten = paths.root.name in snapshot.unattended and paths.root.name in snapshot.left_alone
        if forgotten or paths.root.name in snapshot.attended:
            for key, waits in rows(paths.inbound_db, sql, since=_before(snapshot.now, PROMPT_S)):
                if waits:
                    yield f"{paths.root.name}: {key} could be sent, and waits"


def work_gets_a_runner(snapshot: Snapshot) -> Iterator[str]:
    """A runner starts for what is due in an active session, also if the host did not know of the session."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for paths in snapshot.sessions():
        id_ = paths.root.name
        seen_to = id_ in snapshot.attended or id_ in snapshot.unattended
        if id_ in snapshot.left_alone and seen_to and rows(snapshot.data / "v2.db", active, id=id_):
            for message, _ in due(paths, snapshot.now, STARTED_S):
                yield f"{id_}: {message} is due, and no runner is started"


def paused_sessions_rest(snapshot: Snapshot) -> Iterator[str]:
    """A session that is not active has no runner."""
    status = "SELECT status FROM sessions WHERE id = :id AND status <> 'active'"
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.awake and id_ in snapshot.attended:
            for (found,) in rows(snapshot.data / "v2.db", status, id=id_):
                yield f"{id_}: it is {found}, and has a runner"


def busy_runners_are_not_stopped(snapshot: Snapshot) -> Iterator[str]:
    """No runner of an active session is stopped that nothing hinders, unless it has rested for long."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for id_ in snapshot.wronged:
        if rows(snapshot.data / "v2.db", active, id=id_):
            yield f"{id_}: its runner was at work, and was stopped"


def idle_runners_are_stopped(snapshot: Snapshot) -> Iterator[str]:
    """A runner that has nothing to do goes, after a while."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.idle and id_ in snapshot.attended and not due(paths, snapshot.now, 0.0):
            yield f"{id_}: its runner has had nothing to do for long, and is let be"


def stuck_runners_are_replaced(snapshot: Snapshot) -> Iterator[str]:
    """A runner that stands still in the middle of a turn is stopped."""
    for id_ in snapshot.stuck:
        yield f"{id_}: its runner has stood still for {STUCK_S:g} s, and was let be"


def due(paths: SessionPaths, now: str, for_s: float) -> list[tuple[str, int]]:
    """Return messages that have been due for so long, with their numbers of tries."""
    sql = """
        SELECT id, coalesce(tries, 0) FROM messages_in
        WHERE status = 'pending' AND trigger AND NOT on_wake AND coalesce(process_after, '') <= :since
        """
    return [(str(id_), int(tries)) for id_, tries in rows(paths.inbound_db, sql, since=_before(now, for_s))]


def _before(now: str, seconds: float) -> str:
    return to_text(datetime.fromisoformat(now) - timedelta(seconds=seconds))


def _acks(paths: SessionPaths) -> dict[str, list[tuple[str, int | None]]]:
    found = rows(paths.outbound_db, "SELECT message_id, status, attempt FROM processing_ack")
    return {str(id_): [(str(status), attempt)] for id_, status, attempt in found}
