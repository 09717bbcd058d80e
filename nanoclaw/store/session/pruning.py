"""Prunes a session's old rows and files in batches, so that no other call waits long (contract 4).

Rows are visited in the order in which they were written. `before` is a Unix time in seconds: only
older data is removed. The marks in `meta` stay, so no sequence number is used twice.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import apsw
from attrs import frozen

from nanoclaw.store.engine.names import is_component
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.messages_in import json_array
from nanoclaw.system.trees import remove_tree

BATCH = 500


@frozen
class PruneBatch:
    """One batch of rows, and the ids of its rows that may be deleted or have been deleted."""

    ids: Sequence[str]
    next: int | None
    """The rowid after which the next batch begins. None means that this batch was the last."""


def _prune_batch(rows: Sequence[Sequence[object]]) -> PruneBatch:
    """Summarize a batch of rows (rowid, id, whether it is old, whether it may be deleted).

    A batch without old rows is the last one, because later rows are younger. If the clock was set back,
    later rows may be older. They are pruned by a later run.
    """
    ids = [str(id_) for _, id_, old, may_go in rows if old and may_go]
    more = len(rows) == BATCH and any(old for _, _, old, _ in rows)
    return PruneBatch(ids, int(str(rows[-1][0])) if more else None)


def date_back(connection: apsw.Connection, now: datetime) -> None:
    """Set the dates of finished rows that are ahead of now to now, because the date was set back.

    So they are pruned when they are old enough. The rows of tasks keep their dates.
    """
    values = {"now": to_text(now)}
    connection.execute(
        "UPDATE delivered SET delivered_at = :now WHERE unixepoch(delivered_at) > unixepoch(:now) + 1", values
    )
    connection.execute(
        """
        UPDATE messages_in SET timestamp = :now
        WHERE status IN ('completed', 'failed') AND kind <> 'task'
          AND unixepoch(timestamp) > unixepoch(:now) + 1
        """,
        values,
    )


def drop_messages(connection: apsw.Connection, before: float, after: int) -> PruneBatch:
    """Delete finished messages from the batch after rowid `after`.

    Rows of an open task stay: they record its fired slots and the ids that name it.
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
    found = _prune_batch(rows.fetchall())
    connection.executemany("DELETE FROM messages_in WHERE id = ?", [(id_,) for id_ in found.ids])
    return found


# -- the ledger ----------------------------------------------------------------


def old_deliveries(connection: apsw.Connection, before: float, after: int) -> PruneBatch:
    """Return the final deliveries of the batch after rowid `after`. Their outbound rows may still exist."""
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
    return _prune_batch(rows.fetchall())


def rows_left(connection: apsw.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Return the ids that still have a row in `outbound.db`. Read that file through the guard."""
    if connection.execute("PRAGMA user_version").get == 0:
        return frozenset(ids)  # another build's file, which no runner has migrated yet
    rows = connection.execute(
        "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM messages_out WHERE id = value)",
        (json_array(ids),),
    )
    return frozenset(str(id_) for (id_,) in rows)


def drop_deliveries(connection: apsw.Connection, ids: Sequence[str]) -> None:
    """Delete final deliveries whose outbound rows are gone."""
    for table in ("delivered", "deliveries"):
        connection.executemany(
            f"DELETE FROM {table} WHERE message_out_id = ?",  # noqa: S608 -- a constant
            [(id_,) for id_ in ids],
        )


# -- files ---------------------------------------------------------------------


@frozen
class Folders:
    """Inbox folders that may be removed: of finished messages, and of ids that are not stored."""

    done: Sequence[str]
    unowned: Sequence[str]


def folders(inbox: Path) -> list[str]:
    """Return the names of the inbox folders. Blocking: run it on the executor.

    It starts from the folders and not from the rows, so it also finds folders that a crash left behind.
    """
    with os.scandir(inbox) as entries:
        found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(name for name in found if is_component(name))


def done_with(connection: apsw.Connection, before: float, names: Sequence[str]) -> Folders:
    """Return the named folders that are no longer needed."""
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
    """Remove the folders and return their number. Blocking: run it on the executor.

    A folder without a message may be about to get one, so its own age must exceed the limit.

    Raises:
        OSError: a folder cannot be removed. All others are removed nevertheless.
    """
    unowned = [name for name in found.unowned if _newest(inbox / name) < before]
    errors = [error for name in (*found.done, *unowned) if (error := _removed(inbox / name)) is not None]
    if errors:
        raise errors[0]
    return len(found.done) + len(unowned)


def _newest(folder: Path) -> float:
    """Return the Unix time of the last write to a folder or its files. A repeated event writes them again."""
    return max(os.lstat(path).st_mtime for path in (folder, *folder.iterdir()))


def _removed(folder: Path) -> OSError | None:
    try:
        remove_tree(folder)
    except OSError as error:
        return error
    return None
