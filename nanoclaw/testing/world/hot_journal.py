"""A hot journal: the file that a process leaves beside its database when it dies during a write."""

import shutil
from contextlib import suppress
from pathlib import Path

import apsw


def leave_hot_journal(path: Path, aside: Path) -> None:
    """Make a database look as if its writer died while it wrote pages; `aside` is a folder for a copy."""
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
