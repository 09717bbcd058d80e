"""`users`: identities on platforms."""

import apsw

from nanoclaw.records import User
from nanoclaw.store import rows


def upsert(connection: apsw.Connection, user: User) -> None:
    """Insert it, or take over its display name where it has one; kind and creation stay as they were."""
    connection.execute(
        """
        INSERT INTO users (id, kind, display_name, created_at)
        VALUES (:id, :kind, :display_name, :created_at)
        ON CONFLICT (id) DO UPDATE SET display_name = coalesce(excluded.display_name, display_name)
        """,
        rows.values(user),
    )


def get(connection: apsw.Connection, id_: str) -> User | None:
    """The user with that id."""
    return rows.one(
        User,
        connection.execute(
            "SELECT id, kind, display_name, created_at FROM users WHERE id = :id", {"id": id_}
        ),
    )
