"""`meta` of the central database: the install id and the like."""

import apsw


def get(connection: apsw.Connection, key: str) -> str | None:
    """The value, or None where there is none."""
    row = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": key}).fetchone()
    return None if row is None else str(row[0])


def put(connection: apsw.Connection, key: str, value: str) -> None:
    """Set it, whatever it was."""
    connection.execute(
        """
        INSERT INTO meta (key, value) VALUES (:key, :value)
        ON CONFLICT DO UPDATE SET value = excluded.value
        """,
        {"key": key, "value": value},
    )
