"""The rows that a transaction changes: caches of what was read drop what is stale."""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import apsw
from attrs import Factory, define, frozen

T = TypeVar("T")
P = ParamSpec("P")

MOST_ROWS = 200
"""A transaction that changes more rows is not followed row by row."""
_HAS_HOOK = hasattr(apsw.Connection, "preupdate_hook")
"""False for a SQLite that was compiled without the hook, as that of some distributions."""


@frozen
class ChangedRow:
    """A row before or after a change: its table, and some of its columns."""

    table: str
    values: Mapping[str, object]


Changed = Sequence[ChangedRow] | None
"""Each changed row as it was and as it is, or None if any row may have changed."""


def followed(
    connection: apsw.Connection,
    columns: frozenset[str],
    fn: Callable[Concatenate[apsw.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> tuple[T, Changed]:
    """Run `fn` within a transaction. Return its result and the rows that it changed, with these columns only.

    Rows count that triggers and cascades change, and those that were rolled back to a savepoint.
    """
    if not _HAS_HOOK:
        return fn(connection, *args, **kwargs), None
    rows = _Rows()
    connection.preupdate_hook(rows.note, id=rows)
    try:
        result = fn(connection, *args, **kwargs)
    finally:
        connection.preupdate_hook(None, id=rows)
    return result, rows.named(connection, columns)


@define(eq=False)
class _Rows:
    _seen: list[tuple[str, Sequence[object]]] = Factory(list)
    _too_many: bool = False

    def note(self, update: apsw.PreUpdate) -> None:
        """Note a change. An exception would be raised by the statement that made it."""
        if self._too_many:
            return
        try:
            self._seen += [(update.table_name, row) for row in (update.old, update.new) if row is not None]
        except UnicodeDecodeError:  # a damaged row, which is being repaired
            self._too_many = True
        self._too_many |= len(self._seen) > MOST_ROWS

    def named(self, connection: apsw.Connection, columns: frozenset[str]) -> Changed:
        """Return the rows with the names of their columns."""
        if self._too_many:
            return None
        names = {table: _columns(connection, table) for table, _ in self._seen}
        return tuple(
            ChangedRow(table, {name: row[n] for n, name in enumerate(names[table]) if name in columns})
            for table, row in self._seen
        )


def _columns(connection: apsw.Connection, table: str) -> Sequence[str]:
    """Return the names of the columns in the order in which the hook has their values."""
    found = connection.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))
    return [str(name) for (name,) in found]
