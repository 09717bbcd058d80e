"""Migrates outbound.db by the steps `schema/outbound/NNN-name.sql`; `user_version` is the last one."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from agent_runner.errors import NewerDatabaseError, RunnerError
from agent_runner.store import Connection, Writer, open_memory


async def migrate(outbound: Writer, schema_dir: Path) -> None:
    """Apply the missing steps in one transaction. Data is kept.

    Raises NewerDatabaseError, and RunnerError if the steps are missing.
    """
    steps = _steps(schema_dir / "outbound")
    latest = int(steps[-1].name[:3])
    version = await outbound.read(_version)
    if version > latest:
        raise NewerDatabaseError(
            f"{outbound.path} has version {version}; this runner knows {latest}: update it"
        )
    if version < latest:
        await outbound.write(lambda connection: _apply(connection, steps))


@cache
def _steps(folder: Path) -> Sequence[Path]:
    steps = sorted(folder.glob("[0-9][0-9][0-9]-*.sql"))
    if not steps:
        raise RunnerError(f"{folder} has no schema of outbound.db")
    return steps


def _apply(connection: Connection, steps: Sequence[Path]) -> None:
    version = _version(connection)
    if version == 0 and _tables(connection):
        adopt(connection, steps[0].read_text())
        version = int(steps[0].name[:3])
    for step in steps:
        if int(step.name[:3]) > version:
            connection.execute(step.read_text()).fetchall()
    connection.execute(f"PRAGMA user_version = {int(steps[-1].name[:3])}")


def adopt(connection: Connection, schema: str) -> None:
    """Add the tables, columns and indexes of `schema` that the file of another build lacks."""
    model = open_memory()
    try:
        model.execute(schema).fetchall()
        present = _tables(connection)
        for table in _tables(model):
            if table in present:
                _add_columns(connection, model, table)
        for statement in _missing(connection, model):
            connection.execute(statement).fetchall()
    finally:
        model.close()
    # The high-water mark of seq (contract 4), before pruning removes the rows that show it.
    connection.execute(
        """
        INSERT OR IGNORE INTO meta (key, value)
        SELECT 'seq', seq FROM messages_out WHERE typeof(seq) = 'integer' ORDER BY seq DESC LIMIT 1
        """
    )


def _add_columns(connection: Connection, model: Connection, table: str) -> None:
    present = {name for name, _, _ in _columns(connection, table)}
    for name, kind, default in _columns(model, table):
        if name not in present:
            # NOT NULL is left out: SQLite refuses to add such a column without a default.
            suffix = "" if default is None else f" DEFAULT {default}"
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {kind}{suffix}')


def _missing(connection: Connection, model: Connection) -> list[str]:
    query = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, rootpage"
    present = {name for name, _ in connection.execute(query)}
    return [str(sql) for name, sql in model.execute(query) if name not in present]


def _version(connection: Connection) -> int:
    return int(str(connection.execute("PRAGMA user_version").get))


def _tables(connection: Connection) -> list[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [str(name) for (name,) in connection.execute(query)]


def _columns(connection: Connection, table: str) -> list[tuple[str, str, str | None]]:
    query = "SELECT name, type, dflt_value FROM pragma_table_info(:table)"
    rows = connection.execute(query, {"table": table})
    return [(str(name), str(kind), None if default is None else str(default)) for name, kind, default in rows]
