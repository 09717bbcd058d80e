"""Distinguishes a new home from one whose `v2.db` is lost, and moves the old files aside on request.

A new database beside old sessions would silently lose agents, chats, rights and tasks.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import apsw

from nanoclaw.store.engine.connections import PRIVATE_DIR, SIDECARS, sync
from nanoclaw.store.engine.errors import LostDatabase, StoreError, translating
from nanoclaw.store.engine.migrations import tables_of
from nanoclaw.store.engine.reader import read_once
from nanoclaw.system.obstacles import printable

CENTRAL, BACKUPS, SESSIONS = "v2.db", "backups", "sessions"
_USED = ("agent_groups", "messaging_groups", "users", "sessions")
"""Tables of which at least one has a row once a host has been used."""


def check_file(database: Path) -> None:
    """Refuse to create `v2.db` where it is lost. Blocking.

    Raises:
        LostDatabase: it is missing or has 0 bytes, and there are sessions.
        StoreError: the file or the sessions cannot be read.
    """
    with translating(database):
        try:
            size = database.stat().st_size
        except FileNotFoundError:
            _require_no_sessions(database, _missing(database))
            return
        if not size:
            _require_no_sessions(database, "has 0 bytes")


def _missing(database: Path) -> str:
    if database.is_symlink():
        target = printable(database.readlink())
        return f"is a symbolic link to {target}, which is missing (is its disk mounted?)"
    return "is missing"


def check_rows(connection: apsw.Connection, database: Path) -> None:
    """Refuse a `v2.db` without rows where sessions exist. Blocking.

    Raises:
        LostDatabase: nothing was ever stored in it, and there are sessions.
    """
    if not is_used(connection):
        with translating(database):
            _require_no_sessions(database, "is empty: it holds no agents, chats, users or sessions")


def is_used(connection: apsw.Connection) -> bool:
    """Return whether a host has ever used the database."""
    present = tables_of(connection)
    return any(
        connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").get  # noqa: S608 -- constants of this module
        for table in _USED
        if table in present
    )


def _require_no_sessions(database: Path, what: str) -> None:
    """Raise `LostDatabase` if there are sessions. `what` says how the database is lost."""
    found = sum(1 for _ in _sessions(database.parent))
    if found:
        copies = sorted((database.parent / BACKUPS).glob("v2-*.db"))
        copy = f" {copies[-1]} is a copy from before an upgrade." if copies else ""
        raise LostDatabase(
            database,
            f"{what}, but {database.parent / SESSIONS} holds {found} session{'s' * (found > 1)}. Restore the "
            f"whole folder from a backup, v2.db with its -wal (docs/how-to/back-up-and-restore.md).{copy} To "
            "begin anew, use `nanoclaw run --begin-anew`: it moves the old files to a folder beside, and "
            "deletes nothing",
        )


def _sessions(data: Path) -> Iterator[Path]:
    """Yield everything that may be the folder of a session. A folder that cannot be read counts as one."""
    for group in _entries(data / SESSIONS):
        try:
            yield from _entries(group)
        except PermissionError:
            yield group


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


# -- beginning anew ------------------------------------------------------------


def begin(data: Path, now: datetime) -> Path | None:
    """Move the old files of a data directory into a folder beside them. Return it, or None without old files.

    Nothing is deleted. The sessions move last, so the next start after a crash refuses again. Only the owner
    of the directory may call it. Blocking.

    Raises:
        StoreError: `v2.db` is in use, so nothing is lost; or a file cannot be moved.
    """
    _require_lost(data / CENTRAL)
    with translating(data):
        names = (*(f"{CENTRAL}{suffix}" for suffix in ("", *SIDECARS)), BACKUPS, SESSIONS)
        found = [data / name for name in names if os.path.lexists(data / name)]
        if not found:
            return None
        kept = _unused(data / f"before-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        kept.mkdir(PRIVATE_DIR)
        for each in found:
            each.rename(kept / each.name)
        sync(kept)
        sync(data)
    return kept


def _require_lost(database: Path) -> None:
    try:
        used = os.path.lexists(database) and database.stat().st_size > 0 and read_once(database, is_used)
    except (StoreError, OSError):
        return  # a file that cannot be read is lost, too
    if used:
        advice = "start without --begin-anew, or choose another --home"
        raise StoreError(database, f"is in order, so nothing is begun anew: {advice}")


def _unused(folder: Path) -> Path:
    """Return the path, with a number at its end if it exists."""
    paths = (folder if n == 1 else folder.with_name(f"{folder.name}-{n}") for n in count(1))
    return next(path for path in paths if not os.path.lexists(path))
