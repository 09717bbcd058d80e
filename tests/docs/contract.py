"""The generated part of docs/contract.md: the schemas as the migrations make them.

    python -m tests.docs.contract --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import apsw

from nanoclaw.store.engine.migration_steps import central, inbound, outbound
from nanoclaw.store.engine.migrations import (
    Migration,
    apply_central,
    apply_session,
    register_functions,
    tables_of,
)
from nanoclaw.system.clock import SystemClock
from tests.docs.generated import write_or_compare

CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Apply = Callable[[apsw.Connection, Migration], None]
DATABASES: dict[str, tuple[Sequence[Migration], Apply]] = {
    "central": (central(), apply_central),
    "inbound": (inbound(), apply_session),
    "outbound": (outbound(), apply_session),
}


def migrated(database: str) -> apsw.Connection:
    """Return a new in-memory database with all migrations."""
    connection = apsw.Connection(":memory:")
    register_functions(connection, SystemClock(), Random(1))
    migrations, apply = DATABASES[database]
    for migration in migrations:
        apply(connection, migration)
    return connection


def rows(connection: apsw.Connection, sql: str, name: str) -> list[tuple[Any, ...]]:
    return list(connection.execute(sql, (name,)))


def columns(connection: apsw.Connection, table: str) -> Iterator[str]:
    """Each column as the contract writes it: **key** TYPE NN =default → table."""
    targets: dict[str, str] = dict(
        rows(connection, 'SELECT "from", "table" FROM pragma_foreign_key_list(?)', table)
    )
    sql = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid'
    for name, type_, required, default, key in rows(connection, sql, table):
        parts = [f"**{name}**" if key else str(name), str(type_)]
        parts += ["NN"] * bool(required) + [f"={default}"] * (default is not None)
        parts += [f"→ {targets[name]}"] if name in targets else []
        yield " ".join(parts)


def indexes(connection: apsw.Connection, table: str) -> Iterator[str]:
    """Each index and each UNIQUE, but for that of the primary key."""
    sql = "SELECT name, \"unique\", origin FROM pragma_index_list(?) WHERE origin <> 'pk' ORDER BY name"
    for name, unique, origin in rows(connection, sql, table):
        if origin == "u":
            found = rows(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", str(name))
            yield f"UNIQUE({', '.join(str(column) for (column,) in found)})"
        else:
            yield f"{'UNIQUE ' if unique else ''}`{name}`{_definition(connection, str(name))}"


def _definition(connection: apsw.Connection, index: str) -> str:
    [(sql,)] = rows(connection, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", index)
    return re.sub(r"^.*? ON \w+ ?", "", " ".join(str(sql).split()))


def rendered(database: str) -> str:
    """Return the block of one database: a table with a row for each of its tables."""
    connection = migrated(database)
    try:
        lines = ["| table | columns | indexes |", "|---|---|---|"]
        for table in sorted(tables_of(connection)):
            cells = (", ".join(columns(connection, table)), ", ".join(indexes(connection, table)))
            lines.append(f"| `{table}` | {cells[0]} | {cells[1]} |")
    finally:
        connection.close()
    return "\n".join(lines) + "\n"


def up_to_date(text: str) -> str:
    """Return the contract's text with up-to-date blocks."""
    return BLOCK.sub(lambda block: block[1] + rendered(block[2]) + block[3], text)


if __name__ == "__main__":
    sys.exit(write_or_compare(CONTRACT, up_to_date(CONTRACT.read_text("utf-8")), sys.argv[1:]))
