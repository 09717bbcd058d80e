"""Numbered migrations, each applied with its record in one transaction (contract 2).

In the central database the *name* is a migration's identity and `schema_version.version` the order of
application; in session files `PRAGMA user_version` is the number of the last one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import apsw
from attrs import frozen

from nanoclaw.resources import schema_dir
from nanoclaw.seams import Clock, new_id
from nanoclaw.store.errors import ForeignDatabase, NewerDatabase
from nanoclaw.store.slugs import slug
from nanoclaw.store.times import to_text

Step = Callable[[apsw.Connection], None]

_FILE_NAME = re.compile(r"(\d{3})-(.+)\.sql")


@frozen
class Migration:
    """One numbered file of `schema/`, and the Python step that runs after its SQL, in its transaction."""

    number: int
    name: str
    sql: str
    step: Step | None = None

    def run(self, connection: apsw.Connection) -> None:
        """Change the schema and the data; the caller's transaction holds it together with its record."""
        connection.execute(self.sql).fetchall()
        if self.step is not None:
            self.step(connection)


def load(database: str, steps: Mapping[str, Step]) -> tuple[Migration, ...]:
    """The migrations of `central`, `inbound` or `outbound`, in order."""
    return tuple(
        _read(path, steps) for path in sorted((schema_dir() / database).iterdir()) if path.suffix == ".sql"
    )


def _read(path: Path, steps: Mapping[str, Step]) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path}: a migration is called NNN-name.sql")
    number, name = match.groups()
    return Migration(int(number), name, path.read_text("utf-8"), steps.get(name))


def register_functions(connection: apsw.Connection, clock: Clock, random: Random) -> None:
    """Give SQL the functions that data migrations use: slug(text), new_id(prefix), now()."""

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
    """The names of the tables there are, without SQLite's own."""
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {str(name) for (name,) in rows}


# -- the central database ------------------------------------------------------


def applied_names(connection: apsw.Connection) -> list[str]:
    """The migrations that the central database has, in the order of application; none in an empty file."""
    if "schema_version" not in tables_of(connection):
        return []
    return [str(name) for (name,) in connection.execute("SELECT name FROM schema_version ORDER BY version")]


def pending_central(
    connection: apsw.Connection, path: Path, migrations: Sequence[Migration]
) -> list[Migration]:
    """What the central database lacks, in order.

    Raises:
        ForeignDatabase: it is another program's.
        NewerDatabase: it has migrations that are not among ours.
    """
    try:
        tables = tables_of(connection)
    except apsw.NotADBError as error:
        raise ForeignDatabase(path, "is not a SQLite database; use another --data directory") from error
    if tables and "schema_version" not in tables:
        raise ForeignDatabase(path, "is another program's database; use another --data directory")
    applied = applied_names(connection)
    if unknown := [name for name in applied if name not in {m.name for m in migrations}]:
        made_by = f"made by a newer NanoClaw: {', '.join(unknown)}"
        raise NewerDatabase(path, f"{made_by}; install that version or use another --data")
    return [m for m in migrations if m.name not in applied]


def apply_central(connection: apsw.Connection, migration: Migration) -> None:
    """Apply one and record it."""
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
    """What a session file lacks, in order.

    Raises:
        NewerDatabase: its `user_version` is above ours.
    """
    version = connection.execute("PRAGMA user_version").get
    newest = migrations[-1].number
    if version > newest:
        raise NewerDatabase(
            path, f"made by a newer NanoClaw (version {version}, we know {newest}); install that one"
        )
    return [m for m in migrations if m.number > version]


def apply_session(connection: apsw.Connection, migration: Migration) -> None:
    """Apply one and record it."""
    migration.run(connection)
    connection.execute(f"PRAGMA user_version = {migration.number:d}").fetchall()
