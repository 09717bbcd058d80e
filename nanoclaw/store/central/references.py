"""Refuses to delete a row that other rows refer to (contract 3), and names these rows."""

from collections.abc import Sequence

import apsw

from nanoclaw.store.engine.errors import StillReferenced

NAMED = 5
"""Number of names listed for each kind. Further rows are only counted."""
WIRING_NAMES = """
    SELECT chat.channel_type || ':' || chat.platform_id || '=' || agent.folder
    FROM messaging_group_agents AS wiring
    JOIN messaging_groups AS chat ON chat.id = wiring.messaging_group_id
    JOIN agent_groups AS agent ON agent.id = wiring.agent_group_id
    """
"""The beginning of a query for the names of wirings."""


def refuse_if_referenced(
    connection: apsw.Connection, what: str, id_: str, queries: Sequence[tuple[str, str]]
) -> None:
    """Refuse to delete a row that other rows refer to. The error lists these rows by name.

    Args:
        connection: the central database, within the deleting transaction.
        what: a description of the row, such as `chat tg:1`.
        id_: the value of `:id` in each query.
        queries: pairs of a kind in words and a query for the names of referring rows of that kind.

    Raises:
        StillReferenced: at least one row refers to it. The text names the rows.
    """
    found = [_named(kind, _names(connection, query, id_)) for kind, query in queries]
    if reasons := ", ".join(reason for reason in found if reason):
        raise StillReferenced(f"{what} is still referred to by {reasons}; delete or change those first")


def _names(connection: apsw.Connection, query: str, id_: str) -> list[str]:
    return sorted(str(name) for (name,) in connection.execute(query, {"id": id_}))


def _named(kind: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{kind} {', '.join(names[:NAMED])}{more}"
