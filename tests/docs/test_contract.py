"""docs/contract.md matches the schemas: generated tables exactly, hand-written ones by name."""

import re
from collections.abc import Mapping

import pytest

from nanoclaw.store.engine.migrations import tables_of
from tests.docs.contract import BLOCK, CONTRACT, DATABASES, migrated, up_to_date

TEXT = CONTRACT.read_text("utf-8")
BUILT = TEXT.index("## 8.")


def test_the_generated_tables_match_the_migrations() -> None:
    assert up_to_date(TEXT) == TEXT, "run `make docs`"


def test_every_database_has_a_table() -> None:
    assert [block[2] for block in BLOCK.finditer(TEXT)] == list(DATABASES)


def test_a_table_with_a_missing_column_is_detected() -> None:
    changed = TEXT.replace("agent_provider TEXT", "agent_provider BLOB")
    assert changed != TEXT
    assert up_to_date(changed) == TEXT


def written(database: str) -> Mapping[str, str]:
    """Return the text of sections 3 and 4 on each table of a database."""
    if database == "central":
        return dict(re.findall(r"^\| (?:\*\*\+\*\* )?`(\w+)` \|(.*)\|$", TEXT[:BUILT], re.MULTILINE))
    section = TEXT.partition(f"\n`{database}.db`\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^- (?:\*\*\+\*\* )?`(\w+)`: (.*?)(?=^- |\Z)", section, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("database", DATABASES)
def test_every_column_is_described_by_hand(database: str) -> None:
    connection, texts = migrated(database), written(database)
    missing = [
        f"{table}.{name}"
        for table in sorted(tables_of(connection))
        for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        if not re.search(rf"\b{name}\b", texts.get(table, ""))
    ]
    connection.close()
    assert missing == []
