"""The delivery ledger: the tables `deliveries` and `delivered`.

An attempt is recorded before the channel is asked (contract 4). So after a crash the ledger
shows each attempt that has no outcome.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import apsw
from attrs import frozen

from nanoclaw.records import Address, Receipt
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.columns import Row
from nanoclaw.store.session.messages_in import json_array, mark, raise_mark, set_mark

NOTICE = "notice-"
"""Prefix of the ids of notices, which the host itself sends. A container may not use such ids."""
IN_DOUBT = "unknown whether it was sent"
"""The beginning of the reason of a delivery that failed for good, but may have arrived."""
SEEN = "outbound_seq"
"""Key in `meta`: every outbound row up to this sequence number is in the ledger."""


OpenStatus = Literal["pending", "sending", "unknown"]


@frozen
class LedgerEntry:
    """A delivery without a final outcome."""

    message_out_id: str
    seq: int
    status: OpenStatus
    attempts: int
    next_attempt: datetime | None
    error: str | None = None
    """Reason why the last attempt failed."""
    doubts: int = 0
    """Number of attempts whose outcome is unknown."""
    started_at: datetime | None = None
    """The date at which the last attempt, or the wait after it, began; or at which the slot was computed."""


def open_entries(connection: apsw.Connection) -> list[LedgerEntry]:
    """Return the deliveries without a final outcome, in order of their sequence number."""
    rows = connection.execute(
        """
        SELECT message_out_id, seq, status, attempts, next_attempt, error, doubts, started_at FROM deliveries
        WHERE status <> 'final' ORDER BY seq
        """
    )
    return [_entry(row) for row in rows]


def _entry(row: Iterable[Any]) -> LedgerEntry:
    id_, seq, status, attempts, due, error, doubts, since = row
    columns = Row("deliveries", id_)
    return LedgerEntry(
        columns.text("message_out_id", id_),
        columns.number("seq", seq),
        columns.one_of("status", status, get_args(OpenStatus)),
        columns.number("attempts", attempts),
        columns.time("next_attempt", due),
        None if error is None else str(error),
        columns.number("doubts", doubts),
        columns.time("started_at", since),
    )


def seen(connection: apsw.Connection) -> int:
    """Return the largest outbound sequence number in the ledger."""
    return mark(connection, SEEN)


def record(connection: apsw.Connection, rows: Sequence[tuple[str, int]]) -> None:
    """Enter new outbound rows (id, sequence number) as pending, and raise the mark `SEEN`.

    A row that is in `delivered` already is entered as final: another build delivered it without a ledger.
    """
    connection.executemany(
        """
        INSERT OR IGNORE INTO deliveries (message_out_id, seq, status)
        SELECT :id, :seq, iif(EXISTS (SELECT 1 FROM delivered WHERE message_out_id = :id), 'final', 'pending')
        """,
        [{"id": id_, "seq": seq} for id_, seq in rows],
    )
    if rows:
        raise_mark(connection, SEEN, max(seq for _, seq in rows))


def note_slot(connection: apsw.Connection, message_out_id: str, now: datetime) -> None:
    """Record the date at which the slot of a recurring row was computed."""
    query = "UPDATE deliveries SET started_at = ? WHERE message_out_id = ? AND status = 'pending'"
    connection.execute(query, (to_text(now), message_out_id))


def move_slot(connection: apsw.Connection, message_out_id: str, to: str, now: datetime) -> None:
    """Move a recurring row that waits for its slot to another one. Both are keys `<id>@<slot>`."""
    connection.execute(
        """
        UPDATE deliveries SET message_out_id = :to, started_at = :now
        WHERE message_out_id = :id AND status = 'pending'
        """,
        {"id": message_out_id, "to": to, "now": to_text(now)},
    )


def is_known(connection: apsw.Connection, message_out_id: str) -> bool:
    """Return whether a delivery has this id, in any status."""
    query = "SELECT 1 FROM deliveries WHERE message_out_id = ?"
    return connection.execute(query, (message_out_id,)).fetchone() is not None


def is_empty(connection: apsw.Connection) -> bool:
    """Return whether this file has never delivered anything."""
    return not connection.execute(
        "SELECT EXISTS (SELECT 1 FROM deliveries) OR EXISTS (SELECT 1 FROM delivered)"
    ).get and not seen(connection)


def skip(connection: apsw.Connection, up_to: int) -> None:
    """Set the mark `SEEN`, so that rows up to this sequence number are never delivered from this file."""
    set_mark(connection, SEEN, up_to)


def used_before(connection: apsw.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Return the ids that the ledger has, as they are or in the key of a recurring row (`<id>@<slot>`)."""
    rows = connection.execute(
        """
        SELECT value FROM json_each(:ids) WHERE EXISTS (
          SELECT 1 FROM deliveries
          WHERE message_out_id = value OR (message_out_id > value || '@' AND message_out_id < value || 'A'))
        """,
        {"ids": json_array(ids)},
    )
    return frozenset(str(id_) for (id_,) in rows)


def delivered_by_another_build(connection: apsw.Connection) -> frozenset[str]:
    """Return the ids that another build delivered if this file has no ledger yet, else an empty set."""
    if connection.execute("SELECT max(rowid) FROM deliveries").get is not None:
        return frozenset()
    return frozenset(id_ for (id_,) in connection.execute("SELECT message_out_id FROM delivered"))


def add_notice(connection: apsw.Connection, message_out_id: str, seq: int, content: str) -> None:
    """Enter a notice of the host. Its content (JSON) stays in `meta` until the delivery is final."""
    record(connection, [(message_out_id, 0)])
    connection.execute("UPDATE deliveries SET seq = ? WHERE message_out_id = ?", (seq, message_out_id))
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (message_out_id, content))


def notice(connection: apsw.Connection, message_out_id: str) -> str | None:
    """Return the content of a notice whose delivery is not final, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (message_out_id,)).fetchone()
    return row[0] if row else None


def begin(connection: apsw.Connection, message_out_id: str, now: datetime) -> None:
    """Record that an attempt starts. The channel may be asked once this is committed."""
    connection.execute(
        """
        UPDATE deliveries SET status = 'sending', attempts = attempts + 1, started_at = ?, next_attempt = NULL
        WHERE message_out_id = ?
        """,
        (to_text(now), message_out_id),
    )


def is_open(connection: apsw.Connection, message_out_id: str, seq: int) -> bool:
    """Return whether the ledger has an open delivery with this id and sequence number."""
    query = "SELECT 1 FROM deliveries WHERE message_out_id = ? AND seq = ? AND status <> 'final'"
    return connection.execute(query, (message_out_id, seq)).fetchone() is not None


def postpone(  # noqa: PLR0913 -- the columns of a wait
    connection: apsw.Connection,
    message_out_id: str,
    next_attempt: datetime | None,
    error: str,
    now: datetime,
    *,
    asked: bool,
) -> None:
    """Record that an attempt did not deliver, and when the next one is due.

    `asked` False means that the channel was not asked. Then the attempt is not counted, and the host
    tries again at once after a restart.
    """
    connection.execute(
        """
        UPDATE deliveries SET status = 'pending', next_attempt = :next_attempt, error = :error,
          started_at = :now, attempts = attempts - :not_asked
        WHERE message_out_id = :id
        """,
        {
            "id": message_out_id,
            "next_attempt": to_text(next_attempt) if asked and next_attempt else None,
            "error": error,
            "now": to_text(now),
            "not_asked": int(not asked),
        },
    )


def doubt(
    connection: apsw.Connection, message_out_id: str, next_attempt: datetime, error: str, now: datetime
) -> None:
    """Record that the outcome of an attempt is unknown, and when the next attempt is due."""
    connection.execute(
        """
        UPDATE deliveries SET status = 'unknown', next_attempt = ?, error = ?, started_at = ?,
          doubts = doubts + 1
        WHERE message_out_id = ?
        """,
        (to_text(next_attempt), error, to_text(now), message_out_id),
    )


def deliver(
    connection: apsw.Connection,
    message_out_id: str,
    receipt: Receipt,
    now: datetime,
    chat: Address | None = None,
) -> None:
    """Record the channel's receipt. Only this makes a delivery `delivered`. `chat` is where it went."""
    _finish(connection, message_out_id, "delivered", receipt.platform_message_id, now, chat)
    connection.execute(
        "UPDATE deliveries SET status = 'final', error = NULL, next_attempt = NULL WHERE message_out_id = ?",
        (message_out_id,),
    )


def fail(connection: apsw.Connection, message_out_id: str, error: str, now: datetime) -> None:
    """Record that a delivery has failed for good, and why."""
    _finish(connection, message_out_id, "failed", None, now)
    connection.execute(
        "UPDATE deliveries SET status = 'final', error = ?, next_attempt = NULL WHERE message_out_id = ?",
        (error, message_out_id),
    )


def _finish(  # noqa: PLR0913, PLR0917 -- the columns of its row
    connection: apsw.Connection,
    message_out_id: str,
    status: str,
    platform_message_id: str | None,
    now: datetime,
    chat: Address | None = None,
) -> None:
    connection.execute(
        """
        INSERT OR IGNORE INTO delivered
          (message_out_id, platform_message_id, status, delivered_at, channel_type, platform_id)
        VALUES (:id, :platform_message_id, :status, :now, :channel_type, :platform_id)
        """,
        {
            "id": message_out_id,
            "platform_message_id": platform_message_id,
            "status": status,
            "now": to_text(now),
            "channel_type": chat and chat.channel_type,
            "platform_id": chat and chat.platform_id,
        },
    )
    # A container chooses all other ids, and may choose the key of a mark in `meta`.
    if message_out_id.startswith(NOTICE):
        connection.execute("DELETE FROM meta WHERE key = ?", (message_out_id,))
