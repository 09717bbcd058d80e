"""Rows of `files`: the files of agents that clients may download."""

from collections.abc import Sequence
from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.store.engine.times import from_text, to_text


@frozen
class KeptFile:
    """A file of an agent."""

    id: str
    chat: str
    name: str
    size: int
    created_at: datetime


def add(connection: apsw.Connection, files: Sequence[KeptFile]) -> None:
    """Store files. One that is stored already stays as it is."""
    for file in files:
        connection.execute(
            """
            INSERT INTO files (id, chat, name, size, created_at)
            VALUES (:id, :chat, :name, :size, :created_at) ON CONFLICT (id) DO NOTHING
            """,
            {
                "id": file.id,
                "chat": file.chat,
                "name": file.name,
                "size": file.size,
                "created_at": to_text(file.created_at),
            },
        )


def get(connection: apsw.Connection, id_: str) -> KeptFile | None:
    """Return a file, or None."""
    row = connection.execute(
        "SELECT id, chat, name, size, created_at FROM files WHERE id = :id", {"id": id_}
    ).fetchone()
    if row is None:
        return None
    return KeptFile(str(row[0]), str(row[1]), str(row[2]), int(str(row[3])), from_text(str(row[4])))


def ids(connection: apsw.Connection) -> frozenset[str]:
    """Return the ids of all files."""
    return frozenset(str(id_) for (id_,) in connection.execute("SELECT id FROM files"))


def prune(connection: apsw.Connection, older: datetime) -> list[str]:
    """Delete the files that are older than a date, and return their ids."""
    found = connection.execute(
        "DELETE FROM files WHERE created_at < :older RETURNING id", {"older": to_text(older)}
    ).fetchall()
    return [str(id_) for (id_,) in found]
