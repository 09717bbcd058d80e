"""Pruning a session (contract 4): what is old and done with goes, in batches that hold nobody up.

Rows are walked in the order in which they were written. Ages are unix times: `before` is the youngest to go.
The marks in `meta` stay, so no sequence number is used twice.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import apsw
from attrs import frozen

from nanoclaw.store.messages_in import json_array
from nanoclaw.store.names import is_component

BATCH = 500


@frozen
class Walked:
    """A batch of rows: what of it may go, or went."""

    ids: Sequence[str]
    next: int | None
    """The rowid after which the next batch begins; None: this was the last."""


def _walked(rows: Sequence[Sequence[object]]) -> Walked:
    """Of rows (rowid, id, whether it is old, whether it may go).

    A batch without old rows is the last: what follows is younger still, unless the clock was set back; then
    it waits until it is old.
    """
    ids = [str(id_) for _, id_, old, may_go in rows if old and may_go]
    more = len(rows) == BATCH and any(old for _, _, old, _ in rows)
    return Walked(ids, int(str(rows[-1][0])) if more else None)


def drop_messages(connection: apsw.Connection, before: float, after: int) -> Walked:
    """Delete messages that are done with, of a batch after the rowid `after`.

    What belongs to a task that goes on stays: its slots that have fired, and the names it is known by.
    """
    rows = connection.execute(
        """
        SELECT rowid, id, unixepoch(timestamp) < :before,
          status IN ('completed', 'failed') AND recurrence IS NULL
            AND coalesce(unixepoch(process_after), 0) < :before
            AND NOT EXISTS (
              SELECT 1 FROM messages_in AS task
              WHERE task.kind = 'task' AND task.status IN ('pending', 'paused')
                AND task.series_id = messages_in.series_id
            )
        FROM messages_in WHERE rowid > :after ORDER BY rowid LIMIT :batch
        """,
        {"before": before, "after": after, "batch": BATCH},
    )
    walked = _walked(rows.fetchall())
    connection.executemany("DELETE FROM messages_in WHERE id = ?", [(id_,) for id_ in walked.ids])
    return walked


# -- the ledger ----------------------------------------------------------------


def old_deliveries(connection: apsw.Connection, before: float, after: int) -> Walked:
    """Deliveries that are final, of a batch after the rowid `after`; their rows may be there still."""
    rows = connection.execute(
        """
        SELECT rowid, message_out_id, unixepoch(delivered_at) < :before,
          NOT EXISTS (
            SELECT 1 FROM deliveries AS d
            WHERE d.message_out_id = delivered.message_out_id AND d.status <> 'final'
          )
        FROM delivered WHERE rowid > :after ORDER BY rowid LIMIT :batch
        """,
        {"before": before, "after": after, "batch": BATCH},
    )
    return _walked(rows.fetchall())


def rows_left(connection: apsw.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Those of the ids that have a row in `outbound.db`, which is read through the guard."""
    if connection.execute("PRAGMA user_version").get == 0:
        return frozenset(ids)  # another build's file, which no runner has brought up to date yet
    rows = connection.execute(
        "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM messages_out WHERE id = value)",
        (json_array(ids),),
    )
    return frozenset(str(id_) for (id_,) in rows)


def drop_deliveries(connection: apsw.Connection, ids: Sequence[str]) -> None:
    """Delete final deliveries whose rows are gone."""
    for table in ("delivered", "deliveries"):
        connection.executemany(
            f"DELETE FROM {table} WHERE message_out_id = ?",  # noqa: S608 -- a constant
            [(id_,) for id_ in ids],
        )


# -- files ---------------------------------------------------------------------


@frozen
class Folders:
    """Folders of the inbox that may go: of messages that are done with, and of none that is stored."""

    done: Sequence[str]
    unowned: Sequence[str]


def folders(inbox: Path) -> list[str]:
    """The names of what is in the inbox; blocking.

    The walk begins at the folders and not at the rows: so it finds each, whatever crashed between the two.
    """
    with os.scandir(inbox) as entries:
        found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(name for name in found if is_component(name))


def done_with(connection: apsw.Connection, before: float, names: Sequence[str]) -> Folders:
    """What of a batch of folders nobody needs any more."""
    rows = connection.execute(
        """
        SELECT value, m.id IS NULL,
          m.status IN ('completed', 'failed') AND unixepoch(m.timestamp) < :before
            AND coalesce(unixepoch(m.process_after), 0) < :before
        FROM json_each(:names) LEFT JOIN messages_in AS m ON m.id = value
        """,
        {"names": json_array(names), "before": before},
    ).fetchall()
    return Folders(
        [str(name) for name, _, done in rows if done], [str(name) for name, unowned, _ in rows if unowned]
    )


def remove_folders(inbox: Path, found: Folders, before: float) -> int:
    """Remove them, and say how many; blocking.

    One without a message may be about to get it: it goes by its own age.

    Raises:
        OSError: one of them cannot be removed; the others are.
    """
    unowned = [name for name in found.unowned if _newest(inbox / name) < before]
    errors = [error for name in (*found.done, *unowned) if (error := _removed(inbox / name)) is not None]
    if errors:
        raise errors[0]
    return len(found.done) + len(unowned)


def _newest(folder: Path) -> float:
    """When a folder or what is in it was last written: an event offered again writes its files anew."""
    return max(os.lstat(path).st_mtime for path in (folder, *folder.iterdir()))


def _removed(folder: Path) -> OSError | None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        return error
    return None
