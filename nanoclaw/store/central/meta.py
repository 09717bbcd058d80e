"""Rows of `meta` in the central database, such as the install id."""

import apsw


def get(connection: apsw.Connection, key: str) -> str | None:
    """Return a value, or None if the key is not set."""
    row = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": key}).fetchone()
    return None if row is None else str(row[0])


def put(connection: apsw.Connection, key: str, value: str) -> None:
    """Set a value."""
    connection.execute(
        """
        INSERT INTO meta (key, value) VALUES (:key, :value)
        ON CONFLICT DO UPDATE SET value = excluded.value
        """,
        {"key": key, "value": value},
    )
