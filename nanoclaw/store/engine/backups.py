"""Backups of the central database, made before it is migrated."""

import filecmp
from datetime import datetime
from itertools import count
from pathlib import Path

import apsw

from nanoclaw.store.engine.connections import make_private_dir, open_readonly, open_writable

KEPT = 3


def back_up(database: Path, directory: Path, now: datetime) -> Path:
    """Copy a live database to `directory/v2-<UTC>.db` by SQLite's backup API, and return the copy's path.

    Only the owner of `database` may call it. The copy gets its name once it is complete. If the newest copy
    has the same content, it is returned instead. So a migration that fails at every start keeps one copy.
    """
    make_private_dir(directory)
    target = _free_name(directory, f"v2-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z")
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    source, copy = open_readonly(database), open_writable(partial)
    try:
        _copy(source, copy)
    finally:
        copy.close()
        source.close()
    newest = max(_copies(directory), key=_age, default=None)
    if newest is not None and filecmp.cmp(partial, newest, shallow=False):
        partial.unlink()
        return newest
    return partial.rename(target)


def prune(directory: Path) -> None:
    """Remove all but the newest `KEPT` copies."""
    for path in sorted(_copies(directory), key=_age)[:-KEPT]:
        path.unlink()


def _copies(directory: Path) -> list[Path]:
    return list(directory.glob("v2-*.db"))


def _age(path: Path) -> str:
    return path.stem  # for one time, `…Z` is older than `…Z-2`


def _copy(source: apsw.Connection, copy: apsw.Connection) -> None:
    with copy.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(1000)
    # The copied header says WAL; a backup must be a single file.
    copy.execute("PRAGMA journal_mode = DELETE").fetchall()


def _free_name(directory: Path, stem: str) -> Path:
    names = (stem if n == 1 else f"{stem}-{n}" for n in count(1))
    return next(path for name in names if not (path := directory / f"{name}.db").exists())
