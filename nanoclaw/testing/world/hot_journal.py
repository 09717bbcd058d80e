"""A hot journal: what a process that dies in the middle of a write leaves beside its database."""

import shutil
from contextlib import suppress
from pathlib import Path

import apsw


def leave_hot_journal(path: Path, aside: Path) -> None:
    """Make a database look as if its writer had died while it wrote pages; `aside` is a place for a copy."""
    with suppress(apsw.Error):
        shutil.copy(path, aside)
        connection = apsw.Connection(str(aside))  # noqa: TID251 -- a copy has no owner
        try:
            connection.execute("PRAGMA cache_size = 1").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            for n in range(50):
                connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"half-{n}", "x" * 3000))
            shutil.copy(f"{aside}-journal", f"{path}-journal")
            shutil.copy(aside, path)
        finally:
            connection.close(force=True)
    aside.unlink(missing_ok=True)
