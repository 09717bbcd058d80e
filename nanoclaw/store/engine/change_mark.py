"""The mark of a session's `inbound.db`: its change counter at its owner's last commit.

It is kept in the session's lock file, which the owner has open: no commit opens another file.

SQLite increments the counter with each commit. So a file with a lower counter than its mark was restored or
lost. The mark is written after the commit, so it is never too high. It is not synced. After a power cut it
may be too low, which proves nothing.
"""

import os
from contextlib import suppress

import apsw

from nanoclaw.store.engine.locks import NOTE_AT
from nanoclaw.store.engine.migrations import tables_of

RESTORED = "restored"
"""Key in `meta` of `inbound.db`: what is known about a restored file. JSON, or one of the next two values."""
OLDER, UNMARKED = "older", "unmarked"
"""The file is older than its mark, or has none. Its session must compare it with `outbound.db`."""

_COUNTER_AT, _COUNTER_BYTES = 24, 4
_MARK_BYTES = 11


def counter(connection: apsw.Connection) -> int:
    """Return the change counter of a database in a rollback mode, 0 for an empty file."""
    complete, found = connection.read("main", 0, _COUNTER_AT, _COUNTER_BYTES)
    return int.from_bytes(found) if complete else 0


def read(lock: int) -> int:
    """Return the mark in a lock file, 0 if there is none that can be read."""
    with suppress(OSError, ValueError):
        return int(os.pread(lock, _MARK_BYTES, NOTE_AT))
    return 0


def write(lock: int, connection: apsw.Connection) -> None:
    """Write the mark after a commit. Where that fails, the old one stays."""
    with suppress(OSError, apsw.Error):
        os.pwrite(lock, f"{counter(connection):>{_MARK_BYTES - 1}}\n".encode(), NOTE_AT)


def judge(connection: apsw.Connection, marked: int) -> str | None:
    """Return `OLDER`, `UNMARKED`, or None for a file that continues what was marked.

    Call it before migrations. A file of another build has no mark, even if there is one beside it.
    """
    is_empty = not tables_of(connection)
    if not is_empty and (not marked or connection.execute("PRAGMA user_version").get == 0):
        return UNMARKED
    return OLDER if counter(connection) < marked else None


def note(connection: apsw.Connection, judgement: str) -> None:
    """Note a judgement in the file, until its session has compared it with `outbound.db`."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (RESTORED, judgement))
