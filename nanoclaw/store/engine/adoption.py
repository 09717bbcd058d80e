"""Completes another build's database: adds missing tables, columns and indexes, and removes nothing."""

from collections.abc import Iterable

import apsw
from attrs import frozen

from nanoclaw.store.engine.migrations import Migration, tables_of


@frozen
class _Column:
    name: str
    type: str
    required: bool
    default: str | None

    @property
    def definition(self) -> str:
        """Return the definition for ALTER TABLE. A required column needs a constant default for old rows."""
        default = self.default
        if default is None or default.startswith("(") or "(" in default:
            default = ("0" if self.type == "INTEGER" else "''") if self.required else None
        parts = [f'"{self.name}"', self.type, "NOT NULL" if self.required else ""]
        return " ".join(filter(None, [*parts, f"DEFAULT {default}" if default is not None else ""]))


def complete(connection: apsw.Connection, migrations: Iterable[Migration]) -> None:
    """Add the tables, columns and indexes that `migrations` create. Call it inside a transaction."""
    reference = apsw.Connection(":memory:")
    try:
        for migration in migrations:
            migration.run(reference)
        _add_tables(connection, reference)
        for table in tables_of(reference):
            add_missing_columns(connection, table, _columns(reference, table))
        _add_indexes(connection, reference)
    finally:
        reference.close()


def add_missing_columns(connection: apsw.Connection, table: str, columns: Iterable[_Column]) -> None:
    """Add the given columns that the table lacks."""
    present = {column.name for column in _columns(connection, table)}
    for column in columns:
        if column.name not in present:
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {column.definition}')


def text_column(name: str, default: str) -> _Column:
    """Return a required text column with its default as SQL."""
    return _Column(name, "TEXT", required=True, default=default)


def _columns(connection: apsw.Connection, table: str) -> list[_Column]:
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value FROM pragma_table_info(:table)', {"table": table}
    )
    return [
        _Column(str(name), str(type_), bool(required), None if default is None else str(default))
        for name, type_, required, default in rows
    ]


def _add_tables(connection: apsw.Connection, reference: apsw.Connection) -> None:
    present = tables_of(connection)
    for name, sql in _statements(reference, "table"):
        if name not in present:
            connection.execute(sql)


def _add_indexes(connection: apsw.Connection, reference: apsw.Connection) -> None:
    present = {name for name, _ in _statements(connection, "index")}
    for name, sql in _statements(reference, "index"):
        if name not in present:
            connection.execute(sql)


def _statements(connection: apsw.Connection, kind: str) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = :kind AND sql IS NOT NULL", {"kind": kind}
    )
    return [(str(name), str(sql)) for name, sql in rows]
