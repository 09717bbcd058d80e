"""The delivery ledger: `deliveries` and `delivered`. An attempt is recorded before the channel is asked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import apsw
from attrs import frozen

from nanoclaw.records import Receipt
from nanoclaw.store.messages_in import json_array, mark, raise_mark, set_mark
from nanoclaw.store.times import from_text, to_text

NOTICE = "notice-"
"""Ids of what the host itself says; a container's rows may not have such ids."""
SEEN = "outbound_seq"
"""The mark in `meta`: every outbound row up to it is in the ledger."""


@frozen
class LedgerEntry:
    """A delivery that is not final."""

    message_out_id: str
    seq: int
    status: Literal["pending", "sending", "unknown"]
    attempts: int
    next_attempt: datetime | None
    error: str | None = None
    """Why the last attempt did not deliver."""
    doubts: int = 0
    """Attempts whose outcome is unknown."""


def open_entries(connection: apsw.Connection) -> list[LedgerEntry]:
    """What is still to deliver, in order."""
    rows = connection.execute(
        """
        SELECT message_out_id, seq, status, attempts, next_attempt, error, doubts FROM deliveries
        WHERE status <> 'final' ORDER BY seq
        """
    )
    return [
        LedgerEntry(id_, seq, status, attempts, from_text(due) if due else None, error, doubts)
        for id_, seq, status, attempts, due, error, doubts in rows
    ]


def seen(connection: apsw.Connection) -> int:
    """The largest outbound sequence number in the ledger."""
    return mark(connection, SEEN)


def record(connection: apsw.Connection, rows: Sequence[tuple[str, int]]) -> None:
    """Enter new outbound rows (id, seq) as pending; the mark moves with them.

    What is in `delivered` already is final: another build delivered it, and kept no ledger.
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


def is_empty(connection: apsw.Connection) -> bool:
    """Whether nothing was ever delivered from this file."""
    return not connection.execute(
        "SELECT EXISTS (SELECT 1 FROM deliveries) OR EXISTS (SELECT 1 FROM delivered)"
    ).get and not seen(connection)


def skip(connection: apsw.Connection, up_to: int) -> None:
    """Take rows up to that number for seen: they are never delivered from this file."""
    set_mark(connection, SEEN, up_to)


def used_before(connection: apsw.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Those of the ids of new rows that the ledger has already, also of rows that recur (`<id>@<slot>`)."""
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
    """Ids of what another build delivered, where this file has no ledger yet; empty otherwise."""
    if connection.execute("SELECT max(rowid) FROM deliveries").get is not None:
        return frozenset()
    return frozenset(id_ for (id_,) in connection.execute("SELECT message_out_id FROM delivered"))


def add_notice(connection: apsw.Connection, message_out_id: str, seq: int, content: str) -> None:
    """Enter something that the host itself says; its content (JSON) is kept until it is final."""
    record(connection, [(message_out_id, 0)])
    connection.execute("UPDATE deliveries SET seq = ? WHERE message_out_id = ?", (seq, message_out_id))
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (message_out_id, content))


def notice(connection: apsw.Connection, message_out_id: str) -> str | None:
    """The content of a notice that is not final."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (message_out_id,)).fetchone()
    return row[0] if row else None


def begin(connection: apsw.Connection, message_out_id: str, now: datetime) -> None:
    """An attempt starts; after this commit the channel may be asked."""
    connection.execute(
        """
        UPDATE deliveries SET status = 'sending', attempts = attempts + 1, started_at = ?, next_attempt = NULL
        WHERE message_out_id = ?
        """,
        (to_text(now), message_out_id),
    )


def is_open(connection: apsw.Connection, message_out_id: str, seq: int) -> bool:
    """Say whether the row of that number is in the ledger under that id, and not final."""
    query = "SELECT 1 FROM deliveries WHERE message_out_id = ? AND seq = ? AND status <> 'final'"
    return connection.execute(query, (message_out_id, seq)).fetchone() is not None


def postpone(
    connection: apsw.Connection, message_out_id: str, next_attempt: datetime, error: str, *, asked: bool
) -> None:
    """The attempt did not deliver; the next is not before `next_attempt`.

    If nobody was asked it was none, and the next life asks at once.
    """
    connection.execute(
        """
        UPDATE deliveries SET status = 'pending', next_attempt = ?, error = ?, attempts = attempts - ?
        WHERE message_out_id = ?
        """,
        (to_text(next_attempt) if asked else None, error, int(not asked), message_out_id),
    )


def doubt(connection: apsw.Connection, message_out_id: str, next_attempt: datetime, error: str) -> None:
    """The attempt's outcome is not known; it is made again at `next_attempt`."""
    connection.execute(
        """
        UPDATE deliveries SET status = 'unknown', next_attempt = ?, error = ?, doubts = doubts + 1
        WHERE message_out_id = ?
        """,
        (to_text(next_attempt), error, message_out_id),
    )


def deliver(connection: apsw.Connection, message_out_id: str, receipt: Receipt, now: datetime) -> None:
    """The channel's receipt: the only way to `delivered`."""
    _finish(connection, message_out_id, "delivered", receipt.platform_message_id, now)
    connection.execute(
        "UPDATE deliveries SET status = 'final', error = NULL, next_attempt = NULL WHERE message_out_id = ?",
        (message_out_id,),
    )


def fail(connection: apsw.Connection, message_out_id: str, error: str, now: datetime) -> None:
    """It will not be delivered, for the reason given."""
    _finish(connection, message_out_id, "failed", None, now)
    connection.execute(
        "UPDATE deliveries SET status = 'final', error = ?, next_attempt = NULL WHERE message_out_id = ?",
        (error, message_out_id),
    )


def _finish(
    connection: apsw.Connection, message_out_id: str, status: str, platform_id: str | None, now: datetime
) -> None:
    connection.execute(
        """
        INSERT OR IGNORE INTO delivered (message_out_id, platform_message_id, status, delivered_at)
        VALUES (?, ?, ?, ?)
        """,
        (message_out_id, platform_id, status, to_text(now)),
    )
    if message_out_id.startswith(NOTICE):  # any other id is a container's, which may be that of a mark
        connection.execute("DELETE FROM meta WHERE key = ?", (message_out_id,))
