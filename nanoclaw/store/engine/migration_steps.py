"""Python steps of migrations, by the migration's name. Each runs in the transaction of its migration.

A step uses the schema as of its migration. It must not use entity modules, which follow the newest schema.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import apsw

from nanoclaw.store.engine import adoption
from nanoclaw.store.engine.errors import ForeignDatabase
from nanoclaw.store.engine.migrations import Migration, Step, load, tables_of
from nanoclaw.store.engine.slugs import distinct, name_of_chat

FIRST_OF_OURS = 10


def name_wirings(connection: apsw.Connection) -> None:
    """Create the destination of each wiring that has none, named after its chat."""
    taken: defaultdict[str, set[str]] = defaultdict(set)
    for agent, name in connection.execute("SELECT agent_group_id, local_name FROM agent_destinations"):
        taken[str(agent)].add(str(name))
    rows = connection.execute(
        """
        SELECT w.agent_group_id, g.id, g.name, g.channel_type, g.platform_id, w.created_at
        FROM messaging_group_agents w JOIN messaging_groups g ON g.id = w.messaging_group_id
        WHERE NOT EXISTS (
          SELECT 1 FROM agent_destinations d
          WHERE d.agent_group_id = w.agent_group_id AND d.target_type = 'channel' AND d.target_id = g.id
        )
        ORDER BY w.agent_group_id, julianday(w.created_at), w.id
        """
    ).fetchall()
    for agent, chat, name, channel_type, platform_id, created_at in rows:
        chat_name = name_of_chat(str(name or ""), str(channel_type), str(platform_id))
        local_name = distinct(chat_name, taken[str(agent)])
        taken[str(agent)].add(local_name)
        connection.execute(
            """
            INSERT INTO agent_destinations (agent_group_id, local_name, target_type, target_id, created_at)
            VALUES (:agent, :name, 'channel', :chat, :created_at)
            """,
            {"agent": agent, "name": local_name, "chat": chat, "created_at": created_at},
        )


def add_title_and_options(connection: apsw.Connection) -> None:
    """Add the two columns where migration 003 has not created them."""
    columns = (adoption.text_column("title", "''"), adoption.text_column("options_json", "'[]'"))
    adoption.add_missing_columns(connection, "pending_approvals", columns)


def complete_earlier_tables(connection: apsw.Connection) -> None:
    """Add all tables, columns and indexes of the seed's migrations that this database lacks."""
    adoption.complete(connection, (m for m in central() if m.number < FIRST_OF_OURS))


CENTRAL_STEPS: Mapping[str, Step] = {
    "agent-destinations": name_wirings,
    "pending-approvals-title-options": add_title_and_options,
    "complete-earlier-tables": complete_earlier_tables,
}


@cache
def central() -> tuple[Migration, ...]:
    """Return the migrations of the central database, in order."""
    return load("central", CENTRAL_STEPS)


@cache
def inbound() -> tuple[Migration, ...]:
    """Return the migrations of a session's `inbound.db`, in order."""
    return load("inbound", {})


@cache
def outbound() -> tuple[Migration, ...]:
    """Return the migrations of a session's `outbound.db`, in order. The host uses them for new files only."""
    return load("outbound", {})


def adopt_inbound(connection: apsw.Connection, first: Migration) -> None:
    """Bring another build's `inbound.db` to the state after migration `first`, without losing anything.

    Raises:
        ForeignDatabase: the file is not a session's database.
    """
    if "messages_in" not in tables_of(connection):
        raise ForeignDatabase(Path(connection.filename), "is not a session's inbound.db; move it away")
    adoption.complete(connection, (first,))
    connection.execute(
        """
        UPDATE messages_in SET series_id = id
        WHERE series_id IS NULL AND (kind = 'task' OR recurrence IS NOT NULL)
        """
    )
    # Store the largest assigned sequence number (contract 4): pruning may remove the row that shows it.
    connection.execute(
        """
        INSERT OR IGNORE INTO meta (key, value)
        SELECT 'seq', seq FROM messages_in WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1
        """
    )
    connection.execute(f"PRAGMA user_version = {first.number:d}").fetchall()
