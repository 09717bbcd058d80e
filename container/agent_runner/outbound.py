"""Statements of the runner in outbound.db: plain functions of a connection, each run as one transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from attrs import frozen

from agent_runner import events
from agent_runner.inbound import Candidate, to_address
from agent_runner.records import Claim, OutgoingRow, Sent, Target, Unreadable
from agent_runner.rows import insert
from agent_runner.store import Connection
from agent_runner.text import clean, clip, dump, load
from agent_runner.times import to_text

FINAL = ("completed", "failed", "released")
MOST_STOPPED = 20
"""Messages of stopped turns that the next turn sees."""
NO_ATTEMPT = -1
"""The attempt in an ack that only says which turn had a message."""


@frozen
class Ack:
    """The outcome of a turn's claims."""

    status: str
    turn_id: str | None
    retry_at: datetime | None = None
    error: str | None = None


# -- acks ----------------------------------------------------------------------


def unsettled(connection: Connection, rows: Iterable[Candidate]) -> list[Candidate]:
    """Return the rows whose current attempt has no final ack. An ack without attempt counts as current."""
    return [row for row in rows if not _settled(connection, row)]


def _settled(connection: Connection, row: Candidate) -> bool:
    acks = connection.execute(
        "SELECT status, attempt FROM processing_ack WHERE message_id = :id", {"id": row.id}
    ).fetchall()
    return any(_is_final(status) and attempt in (None, row.tries) for status, attempt in acks)


def _is_final(status: object) -> bool:
    """Return True for a final status. Foreign runners add suffixes: an unknown status with one is final."""
    kind, suffix, _ = str(status).partition(":")
    return kind in FINAL or (bool(suffix) and kind != "processing")


def unclaimed(connection: Connection, rows: Iterable[Candidate]) -> list[Candidate]:
    """Return the rows that no turn has claimed. A row of an interrupted turn waits for the repeated turn."""
    return [row for row in rows if not _acked(connection, row.id)]


def _acked(connection: Connection, message_id: str) -> bool:
    query = "SELECT EXISTS (SELECT 1 FROM processing_ack WHERE message_id = :id)"
    return bool(connection.execute(query, {"id": message_id}).get)


def acknowledge(connection: Connection, claims: Iterable[Claim], at: datetime, ack: Ack) -> None:
    """Write the ack of each claim, replacing an earlier one."""
    for claim in claims:
        row = {
            "message_id": claim.id,
            "status": ack.status,
            "status_changed": to_text(at),
            "attempt": claim.tries,
            "retry_at": ack.retry_at and to_text(ack.retry_at),
            "error": ack.error and clip(ack.error),
            "turn_id": ack.turn_id,
        }
        insert(connection, "processing_ack", row, at, replace=True)


def fail_unreadable(connection: Connection, rows: Sequence[Unreadable], at: datetime) -> None:
    """Fail rows that cannot be read. Otherwise they would be selected again and again."""
    for row in rows:
        acknowledge(connection, [row.claim], at, Ack("failed", None, error=row.reason))
        events.record(connection, at, "error", row.claim.id, reason=clip(row.reason))


# -- turns ---------------------------------------------------------------------


def claim(connection: Connection, claims: Sequence[Claim], at: datetime, turn_id: str) -> tuple[Sent, ...]:
    """Open a turn. Return what interrupted turns over the same messages had already sent."""
    earlier = _interrupted(connection, claims)
    if earlier:
        _remember(connection, turn_id, earlier, at)
    acknowledge(connection, claims, at, Ack("processing", turn_id))
    events.hide_tool(connection)
    events.record(
        connection, at, "turn started", claims[0].id, turn_id=turn_id, messages=[claim.id for claim in claims]
    )
    return tuple(sent for turn in earlier for sent in _sent(connection, turn))


def claim_more(connection: Connection, claims: Sequence[Claim], at: datetime, turn_id: str) -> frozenset[str]:
    """Claim more rows for a running turn. Return the ids of the rows that were free."""
    free = [each for each in claims if not _acked(connection, each.id)]
    acknowledge(connection, free, at, Ack("processing", turn_id))
    return frozenset(each.id for each in free)


def unclaim(connection: Connection, claims: Sequence[Claim], turn_id: str) -> None:
    """Undo `claim_more`. This costs no try. If the turn has sent something, the next turn is told of it.

    In that case the ack stays, with an attempt that the host ignores. Otherwise it is removed.
    """
    if not claims:
        return
    sent = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM messages_out WHERE turn_id = :turn_id)", {"turn_id": turn_id}
    ).get
    told = "UPDATE processing_ack SET status = 'released', attempt = :no_attempt"
    change = told if sent else "DELETE FROM processing_ack"
    for each in claims:
        connection.execute(
            f"{change} WHERE message_id = :id AND turn_id = :turn_id AND status = 'processing'",
            {"id": each.id, "turn_id": turn_id, "no_attempt": NO_ATTEMPT},
        )


def has_open_claims(connection: Connection) -> bool:
    """Return True if a turn is under way, or was when its runner died."""
    query = "SELECT EXISTS (SELECT 1 FROM processing_ack WHERE status = 'processing')"
    return bool(connection.execute(query).get)


def release_stale_claims(connection: Connection) -> None:
    """Undo the claims of a dead runner. The next turns are told of the rows it sent, as after `unclaim`."""
    connection.execute(
        "UPDATE processing_ack SET status = 'released', attempt = :attempt WHERE status = 'processing'",
        {"attempt": NO_ATTEMPT},
    )


def close(connection: Connection, claims: Sequence[Claim], at: datetime, ack: Ack) -> None:
    """End a turn with one ack for all its claims."""
    acknowledge(connection, claims, at, ack)
    events.hide_tool(connection)
    if ack.error is not None:
        events.record(connection, at, "error", claims[0].id, turn_id=ack.turn_id, reason=clip(ack.error))
    events.record(connection, at, "turn ended", claims[0].id, turn_id=ack.turn_id, status=ack.status)


def _interrupted(connection: Connection, claims: Sequence[Claim]) -> list[str]:
    """Return the earlier turns over these messages, oldest first: those of the acks, and their own."""
    turns: dict[str, None] = {}
    for each in claims:
        last = connection.execute(
            "SELECT turn_id FROM processing_ack WHERE message_id = :id", {"id": each.id}
        ).get
        if last:
            turns.update(dict.fromkeys([*_remembered(connection, str(last)), str(last)]))
    return list(turns)


def _remember(connection: Connection, turn_id: str, earlier: Sequence[str], at: datetime) -> None:
    row = {"key": f"continues:{turn_id}", "value": json.dumps(earlier)}
    insert(connection, "meta", row, at, replace=True)


def _remembered(connection: Connection, turn_id: str) -> list[str]:
    value = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": f"continues:{turn_id}"}).get
    return [] if value is None else [str(turn) for turn in json.loads(str(value))]


def forget_turn(connection: Connection, turn_id: str) -> None:
    """Remove the list of earlier turns of a completed turn."""
    connection.execute("DELETE FROM meta WHERE key = :key", {"key": f"continues:{turn_id}"})


def remember_stopped(connection: Connection, ids: Sequence[str], at: datetime) -> None:
    """Remember the messages of a stopped turn. The next turn sees them as context."""
    newest = [*stopped(connection), *ids][-MOST_STOPPED:]
    insert(connection, "meta", {"key": "stopped", "value": json.dumps(newest)}, at, replace=True)


def stopped(connection: Connection) -> list[str]:
    """Return the ids of the messages of stopped turns that no later turn has seen, oldest first."""
    value = connection.execute("SELECT value FROM meta WHERE key = 'stopped'").get
    return [] if value is None else [str(id_) for id_ in json.loads(str(value))]


def forget_stopped(connection: Connection, _at: datetime) -> None:
    """Forget them, because a turn has seen them or the conversation is cleared."""
    connection.execute("DELETE FROM meta WHERE key = 'stopped'")


def _sent(connection: Connection, turn_id: str) -> list[Sent]:
    rows = connection.execute(
        """
        SELECT seq, kind, content, channel_type, platform_id, thread_id
        FROM messages_out WHERE turn_id = :turn_id ORDER BY seq
        """,
        {"turn_id": turn_id},
    )
    return [Sent(seq, kind, to_address(*address), load(content)) for seq, kind, content, *address in rows]


# -- messages ------------------------------------------------------------------


def send(connection: Connection, outgoing: OutgoingRow, seen: int) -> int:
    """Add a message and return its number. `seen` is the largest inbound number known."""
    seq = next_seq(connection, seen, outgoing.at)
    row = {
        "id": outgoing.id,
        "seq": seq,
        "in_reply_to": outgoing.in_reply_to,
        "timestamp": to_text(outgoing.at),
        "kind": outgoing.kind,
        "channel_type": outgoing.address and outgoing.address.channel_type,
        "platform_id": outgoing.address and outgoing.address.platform_id,
        "thread_id": outgoing.address and outgoing.address.thread_id,
        "content": dump(outgoing.content),
        "turn_id": outgoing.turn_id,
    }
    insert(connection, "messages_out", row, outgoing.at)
    return seq


def next_seq(connection: Connection, seen: int, at: datetime) -> int:
    """Return the next odd number above the mark, every row and `seen`, and move the mark.

    What a foreign runner left that is not a number, or too large for one above it, is ignored.
    """
    mark = connection.execute(
        """
        SELECT max(
          coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq'), 0),
          CAST(coalesce((SELECT max(seq) FROM messages_out WHERE seq < 9e18), 0) AS INTEGER),
          :seen)
        """,
        {"seen": seen},
    ).get
    seq = (int(str(mark)) + 1) | 1
    insert(connection, "meta", {"key": "seq", "value": str(seq)}, at, replace=True)
    return seq


def sent_contents(connection: Connection, ids: Iterable[object]) -> Mapping[object, Mapping[str, object]]:
    """Return the contents of the messages with these ids that are still there."""
    found = dict[object, Mapping[str, object]]()
    for id_ in (id_ for id_ in ids if isinstance(id_, str)):
        query = "SELECT content FROM messages_out WHERE id = :id"
        for (content,) in connection.execute(query, {"id": clean(id_)}):
            with suppress(ValueError):
                found[id_] = load(content)
    return found


def target(connection: Connection, seq: int) -> Target | None:
    """Return the sent message with an odd number."""
    rows = connection.execute(
        "SELECT id, channel_type, platform_id, thread_id FROM messages_out WHERE seq = :seq", {"seq": seq}
    ).fetchall()
    if not rows:
        return None
    id_, *address = rows[0]
    return Target(to_address(*address), message_out_id=str(id_))


def questions(connection: Connection) -> list[str]:
    """Return the ids of the questions among the newest 500 messages."""
    rows = connection.execute(
        """
        SELECT id FROM (SELECT id, content FROM messages_out ORDER BY seq DESC LIMIT 500)
        WHERE instr(content, '"type":"ask_question"')
        """
    )
    return [str(id_) for (id_,) in rows]


def is_sent(connection: Connection, message_out_id: str) -> bool:
    """Return True if the row of a message exists."""
    query = "SELECT EXISTS (SELECT 1 FROM messages_out WHERE id = :id)"
    return bool(connection.execute(query, {"id": message_out_id}).get)
