"""Checks of promptness: a session that had enough time has no due work left.

Slow polls, sweeps and the next message recover from a lost wake-up. A lost wake-up therefore costs only time,
and these checks measure that time.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from nanoclaw.records import SessionPaths
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.store.engine.times import to_text
from nanoclaw.testing.invariants import rows

PROMPT_S = 1.7
"""Seconds within which due work is done if nothing delays it: work takes no virtual time."""

STARTED_S = 150.0
"""Seconds within which a runner starts after any fault: session and supervisor may each back off a minute."""
STUCK_S = 195.0
"""Seconds within which a stuck runner with a claim is replaced: 120 s for a tool, up to 10 s until the last
heartbeat, and two sweeps of 30 s.
"""


def due_work_is_claimed_at_once(snapshot: Snapshot) -> Iterator[str]:
    """An idle runner, or a turn that waits for follow-ups, claims due messages."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.resting or id_ in snapshot.listening:
            acks = _acks(paths)
            for message, tries in due(paths, snapshot.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if id_ in snapshot.resting and mine in ([], ["processing"]):
                    yield f"{id_}: {message} is due, but its idle runner has not claimed it"
                if id_ in snapshot.listening and not tries and message not in acks:
                    yield f"{id_}: {message} is due, but the turn that waits for it has not claimed it"


def replies_are_seen_at_once(snapshot: Snapshot) -> Iterator[str]:
    """The host has read all rows and acks of the runner."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.attended:
            [(said,)] = rows(paths.outbound_db, "SELECT coalesce(max(seq), 0) FROM messages_out")
            seen = rows(
                paths.inbound_db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'outbound_seq'"
            )
            if said > max([0, *(mark for (mark,) in seen)]):
                yield f"{id_}: the runner has sent row {said}, but the ledger ends at {seen}"
            acks = _acks(paths)
            for message, tries in due(paths, snapshot.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if mine not in ([], ["processing"]):
                    yield f"{id_}: {message} is {mine[0]}, but the host has not settled it"


LONGEST_WAIT_S = 7300.0
"""More than any wait for a retry in a workload, and less than a wrong date is ahead."""


_CLAIMED = "SELECT message_id FROM processing_ack WHERE status = 'processing'"


def retries_keep_their_length(snapshot: Snapshot) -> Iterator[str]:
    """No retry waits longer than any back-off, although the date was set back.

    A claimed message waits no more.
    """
    sql = """
        SELECT id, process_after FROM messages_in WHERE status = 'pending' AND tries > 0
          AND unixepoch(process_after) > unixepoch(:now) + :longest
        """
    for paths in snapshot.sessions():
        if paths.root.name in snapshot.attended:
            claimed = {id_ for (id_,) in rows(paths.outbound_db, _CLAIMED)}
            waiting = rows(paths.inbound_db, sql, now=snapshot.now, longest=LONGEST_WAIT_S)
            for id_, due_at in (each for each in waiting if each[0] not in claimed):
                yield f"{paths.root.name}: {id_} is tried again only at {due_at}"


def replies_are_tried_at_once(snapshot: Snapshot) -> Iterator[str]:
    """While no attempt is in flight, the first delivery waits only for its time or its channel.

    A session without an actor has no delivery that is due.
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
                    yield f"{paths.root.name}: {key} is due, but is not being sent"


def work_gets_a_runner(snapshot: Snapshot) -> Iterator[str]:
    """A runner starts for due work in an active session, also if the session had no actor."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for paths in snapshot.sessions():
        id_ = paths.root.name
        seen_to = id_ in snapshot.attended or id_ in snapshot.unattended
        if id_ in snapshot.left_alone and seen_to and rows(snapshot.data / "v2.db", active, id=id_):
            for message, _ in due(paths, snapshot.now, STARTED_S):
                yield f"{id_}: {message} is due, but no runner was started"


def paused_sessions_rest(snapshot: Snapshot) -> Iterator[str]:
    """A session that is not active has no runner."""
    status = "SELECT status FROM sessions WHERE id = :id AND status <> 'active'"
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.awake and id_ in snapshot.attended:
            for (found,) in rows(snapshot.data / "v2.db", status, id=id_):
                yield f"{id_}: it is {found}, but has a runner"


def busy_runners_are_not_stopped(snapshot: Snapshot) -> Iterator[str]:
    """A healthy runner of an active session is stopped only after it was idle long enough."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for id_ in snapshot.wronged:
        if rows(snapshot.data / "v2.db", active, id=id_):
            yield f"{id_}: its runner was stopped at work"


def idle_runners_are_stopped(snapshot: Snapshot) -> Iterator[str]:
    """An idle runner is stopped after the idle time."""
    for paths in snapshot.sessions():
        id_ = paths.root.name
        if id_ in snapshot.idle and id_ in snapshot.attended and not due(paths, snapshot.now, 0.0):
            yield f"{id_}: its runner was idle for too long, but was not stopped"


def stuck_runners_are_replaced(snapshot: Snapshot) -> Iterator[str]:
    """A runner that is stuck in a turn is replaced."""
    for id_ in snapshot.stuck:
        yield f"{id_}: its runner was stuck for {STUCK_S:g} s, but was not replaced"


def due(paths: SessionPaths, now: str, for_s: float) -> list[tuple[str, int]]:
    """Return the messages that have been due for at least `for_s`, with their numbers of tries."""
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
