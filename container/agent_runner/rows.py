"""Inserts rows into outbound.db, even if another build's table requires columns that we do not know."""

from collections.abc import Mapping
from datetime import datetime

import apsw

from agent_runner.store import Connection
from agent_runner.times import to_text


def insert(
    connection: Connection, table: str, row: Mapping[str, object], at: datetime, *, replace: bool = False
) -> None:
    """Insert a row. `replace` drops an earlier row with the same key. `at` is the time of the change."""
    try:
        _insert(connection, table, row, replace=replace)
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_NOTNULL:
            raise
        required = _required_by_others(connection, table, row, at)
        _insert(connection, table, {**required, **row}, replace=replace)


def _insert(connection: Connection, table: str, row: Mapping[str, object], *, replace: bool) -> None:
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    connection.execute(f'{verb} INTO "{table}" ({names}) VALUES ({marks})', tuple(row.values()))


def _required_by_others(
    connection: Connection, table: str, row: Mapping[str, object], at: datetime
) -> Mapping[str, object]:
    """Return a value for each required column that `row` lacks."""
    columns = connection.execute(f'PRAGMA table_info("{table}")')
    return {
        str(name): _neutral(str(name), str(type_), at)
        for _, name, type_, required, default, key in columns
        if required and default is None and not key and name not in row
    }


def _neutral(name: str, type_: str, at: datetime) -> object:
    """Return a neutral value of the column's type: 0, the time of the change, or an empty text."""
    if any(kind in type_.upper() for kind in ("INT", "REAL", "NUM", "FLOA", "DOUB", "BOOL")):
        return 0
    return to_text(at) if name.endswith(("_at", "time", "timestamp", "date")) else ""
