"""The tables of `outbound.db`, also of another build's file, which lacks some of our columns and tables.

Another build's runner never adds them, and the host never writes the file. So queries see what is missing as
NULL, by common table expressions: the guard allows no views.
"""

from collections.abc import Mapping, Sequence

import apsw
from attrs import frozen

from nanoclaw.store.engine.migrations import tables_of

SEED_TABLES = frozenset({"messages_out", "processing_ack"})
"""The tables that every build has."""
_ADDED: Mapping[str, tuple[str, ...]] = {
    "messages_out": ("turn_id",),
    "processing_ack": ("attempt", "retry_at", "error", "turn_id"),
    "container_state": ("tool_declared_timeout_ms",),
    "events": ("id", "at", "kind", "data"),
}
"""The columns that the host reads and another build's file may lack."""


@frozen
class OutboundTables:
    """The tables of a file, and the expressions that complete them."""

    connection: apsw.Connection
    completion: str = ""
    names_attempts: bool = True
    """False if its acks have no column for the attempt, so that another build's runner wrote them."""

    @classmethod
    def of(cls, connection: apsw.Connection) -> "OutboundTables | None":
        """Return the tables, or None if the file has none yet."""
        if connection.execute("PRAGMA user_version").get != 0:
            return cls(connection)
        if not tables_of(connection) >= SEED_TABLES:
            return None
        columns = {table: _columns(connection, table) for table in _ADDED}
        parts = [
            _completed(table, columns[table], missing)
            for table, added in _ADDED.items()
            if (missing := [name for name in added if name not in columns[table]])
        ]
        completion = f"WITH {', '.join(parts)} " if parts else ""
        return cls(connection, completion, "attempt" in columns["processing_ack"])

    def sql(self, query: str) -> str:
        """Return a query over the completed tables."""
        return self.completion + query


def _columns(connection: apsw.Connection, table: str) -> set[str]:
    return {str(name) for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}


def _completed(table: str, present: set[str], missing: Sequence[str]) -> str:
    nulls = ", ".join(f"NULL AS {name}" for name in missing)
    if not present:
        return f"{table} AS (SELECT {nulls} WHERE 0)"
    return f"{table} AS (SELECT *, {nulls} FROM main.{table})"  # noqa: S608 -- constants of this module
