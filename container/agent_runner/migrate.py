"""Completes outbound.db to the schema of the steps `schema/outbound/NNN-name.sql`.

`user_version` is the number of the last step. All steps only add tables, columns and indexes. So it does not
matter which of them a file has had, or what other builds have added.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from agent_runner.errors import NewerDatabaseError, RunnerError
from agent_runner.store import Connection, Writer, open_memory


async def migrate(outbound: Writer, schema_dir: Path) -> None:
    """Add what the file lacks, in one transaction. Data is kept.

    Raises NewerDatabaseError, and RunnerError if the steps are missing.
    """
    steps = _steps(schema_dir / "outbound")
    latest = int(steps[-1].name[:3])
    version = await outbound.read(_version)
    if version > latest:
        raise NewerDatabaseError(
            f"{outbound.path} has version {version}; this runner knows {latest}: update it"
        )
    with _model(steps) as model:
        if version < latest or not await outbound.read(lambda connection: _is_complete(connection, model)):
            await outbound.write(lambda connection: _complete(connection, model, latest))


@cache
def _steps(folder: Path) -> Sequence[Path]:
    steps = sorted(folder.glob("[0-9][0-9][0-9]-*.sql"))
    if not steps:
        raise RunnerError(f"{folder} has no schema of outbound.db")
    return steps


@contextmanager
def _model(steps: Sequence[Path]) -> Iterator[Connection]:
    """Open an empty database in memory with the whole schema."""
    model = open_memory()
    try:
        for step in steps:
            model.execute(step.read_text()).fetchall()
        yield model
    finally:
        model.close()


def _is_complete(connection: Connection, model: Connection) -> bool:
    """Return True if the file has all columns, also if a foreign host gave it our version."""
    return all(
        {name for name, _, _ in _columns(model, table)}
        <= {name for name, _, _ in _columns(connection, table)}
        for table in _tables(model)
    )


def _complete(connection: Connection, model: Connection, version: int) -> None:
    present = _tables(connection)
    for table in _tables(model):
        if table in present:
            _add_columns(connection, model, table)
    for statement in _missing(connection, model):
        connection.execute(statement).fetchall()
    connection.execute(f"PRAGMA user_version = {version}")
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
    rows = connection.execute(f'PRAGMA table_info("{table}")')
    return [
        (str(name), str(kind), None if default is None else str(default))
        for _, name, kind, _, default, _ in rows
    ]
