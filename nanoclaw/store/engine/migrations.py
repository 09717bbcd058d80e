"""Numbered migrations. Each is applied together with its record in one transaction (contract 2).

In the central database the *name* identifies a migration, and `schema_version.version` is the order of
application. In session files `PRAGMA user_version` is the number of the last migration.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import apsw
from attrs import frozen

from nanoclaw.store.engine.errors import ForeignDatabase, NewerDatabase
from nanoclaw.store.engine.slugs import slug
from nanoclaw.store.engine.times import to_text
from nanoclaw.system.clock import Clock
from nanoclaw.system.ids import new_id
from nanoclaw.system.resources import schema_dir

Step = Callable[[apsw.Connection], None]

_FILE_NAME = re.compile(r"(\d{3})-(.+)\.sql")


@frozen
class Migration:
    """One numbered file of `schema/`, and a Python step that runs after its SQL in the same transaction."""

    number: int
    name: str
    sql: str
    step: Step | None = None

    def run(self, connection: apsw.Connection) -> None:
        """Change schema and data. The caller's transaction also records the migration."""
        connection.execute(self.sql).fetchall()
        if self.step is not None:
            self.step(connection)


def load(database: str, steps: Mapping[str, Step]) -> tuple[Migration, ...]:
    """Return the migrations of `central`, `inbound` or `outbound`, in order."""
    return tuple(
        _read(path, steps) for path in sorted((schema_dir() / database).iterdir()) if path.suffix == ".sql"
    )


def _read(path: Path, steps: Mapping[str, Step]) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path}: name the migration NNN-name.sql")
    number, name = match.groups()
    return Migration(int(number), name, path.read_text("utf-8"), steps.get(name))


def register_functions(connection: apsw.Connection, clock: Clock, random: Random) -> None:
    """Add the SQL functions that data migrations use: slug(text), new_id(prefix), now()."""

    def sql_slug(*values: "apsw.SQLiteValue") -> str:
        return slug(str(values[0]))

    def sql_new_id(*values: "apsw.SQLiteValue") -> str:
        return new_id(str(values[0]), random)

    def sql_now(*_: "apsw.SQLiteValue") -> str:
        return to_text(clock.now())

    connection.create_scalar_function("slug", sql_slug, 1, deterministic=True)
    connection.create_scalar_function("new_id", sql_new_id, 1)
    connection.create_scalar_function("now", sql_now, 0)


def tables_of(connection: apsw.Connection) -> set[str]:
    """Return the names of all tables except SQLite's own."""
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {str(name) for (name,) in rows}


# -- the central database ------------------------------------------------------


def _advice(path: Path) -> str:
    """Return what to do about a `v2.db` that is none. Beside sessions it once was NanoClaw's."""
    with suppress(OSError):
        if any((path.parent / "sessions").iterdir()):
            return f"there are sessions beside it: restore {path.parent} from a backup"
    return "use another --data directory"


def applied_names(connection: apsw.Connection) -> list[str]:
    """Return the applied migrations of the central database, in order; an empty file has none."""
    if "schema_version" not in tables_of(connection):
        return []
    return [str(name) for (name,) in connection.execute("SELECT name FROM schema_version ORDER BY version")]


def pending_central(
    connection: apsw.Connection, path: Path, migrations: Sequence[Migration]
) -> list[Migration]:
    """Return the migrations that the central database lacks, in order.

    Raises:
        ForeignDatabase: the file belongs to another program.
        NewerDatabase: it has migrations that this NanoClaw does not know.
    """
    try:
        tables = tables_of(connection)
    except apsw.NotADBError as error:
        raise ForeignDatabase(path, f"is not a SQLite database; {_advice(path)}") from error
    if tables and "schema_version" not in tables:
        raise ForeignDatabase(path, f"is another program's database; {_advice(path)}")
    applied = applied_names(connection)
    if unknown := [name for name in applied if name not in {m.name for m in migrations}]:
        made_by = f"made by a newer NanoClaw (unknown migrations: {', '.join(unknown)})"
        raise NewerDatabase(path, f"{made_by}; install that version, or use another --data directory")
    return [m for m in migrations if m.name not in applied]


def apply_central(connection: apsw.Connection, migration: Migration) -> None:
    """Apply a migration and record it."""
    connection.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_version (
          version INTEGER PRIMARY KEY,
          name    TEXT NOT NULL UNIQUE,
          applied TEXT NOT NULL
        )
        """
    )
    migration.run(connection)
    connection.execute(
        """
        INSERT INTO schema_version (version, name, applied)
        SELECT coalesce(max(version), 0) + 1, :name, now() FROM schema_version
        """,
        {"name": migration.name},
    )


# -- session files -------------------------------------------------------------


def pending_session(
    connection: apsw.Connection, path: Path, migrations: Sequence[Migration]
) -> list[Migration]:
    """Return the migrations that a session file lacks, in order.

    Raises:
        NewerDatabase: its `user_version` is higher than the newest migration here.
    """
    version = connection.execute("PRAGMA user_version").get
    newest = migrations[-1].number
    if version > newest:
        raise NewerDatabase(
            path, f"made by a newer NanoClaw (version {version}, known up to {newest}); install that version"
        )
    return [m for m in migrations if m.number > version]


def apply_session(connection: apsw.Connection, migration: Migration) -> None:
    """Apply a migration and record it."""
    migration.run(connection)
    connection.execute(f"PRAGMA user_version = {migration.number:d}").fetchall()
