"""Completes the inbound.db of another build's host, for this reader, by temporary views.

The runner never writes that file. So missing columns and tables are added by views, which SQLite finds before
tables of the same name. A file of our host is complete, and gets no views.
"""

from collections.abc import Mapping

from agent_runner.store import Connection

_OPTIONAL: Mapping[str, Mapping[str, str]] = {
    "messages_in": {
        "series_id": "NULL",
        "tries": "0",
        "trigger": "1",
        "on_wake": "0",
        "zone": "NULL",
    },
    "delivered": {"platform_message_id": "NULL", "status": "'delivered'"},
}
"""The columns that the runner reads and another build's file may lack, with their neutral values."""
_EMPTY_META = "CREATE TEMP VIEW meta AS SELECT NULL AS key, NULL AS value WHERE 0"


def show_complete(connection: Connection) -> None:
    """Add views for what the file lacks. An empty file stays as it is."""
    columns = {table: _columns(connection, table) for table in (*_OPTIONAL, "meta")}
    if not columns["messages_in"]:
        return
    for table, optional in _OPTIONAL.items():
        missing = {name: value for name, value in optional.items() if name not in columns[table]}
        if missing and columns[table]:
            connection.execute(_view(table, missing)).fetchall()
    if not columns["meta"]:
        connection.execute(_EMPTY_META).fetchall()


def _columns(connection: Connection, table: str) -> set[str]:
    return {str(name) for _, name, *_ in connection.execute(f"PRAGMA main.table_info({table})")}


def _view(table: str, missing: Mapping[str, str]) -> str:
    added = ", ".join(f"{value} AS {name}" for name, value in missing.items())
    return f"CREATE TEMP VIEW {table} AS SELECT *, {added} FROM main.{table}"  # noqa: S608 -- names of this file
