"""Finds the rows of the central database that cannot be used. Each affects only what it describes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice

import apsw
from attrs import fields

from nanoclaw.records import (
    AgentDestination,
    AgentGroup,
    ApprovalAsker,
    ClosedQuestion,
    HeldMessage,
    Member,
    MessagingGroup,
    ParkedEvent,
    Refusal,
    UnregisteredSender,
    User,
    UserDm,
    UserLink,
    UserRole,
)
from nanoclaw.records.pairing import PairingCode
from nanoclaw.store.central import (
    agent_groups,
    approval_cards,
    approval_rules,
    network_sites,
    pending_approvals,
    pending_questions,
    sessions,
    wirings,
)
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.names import is_component

MOST = 100
"""Limit of the rows that are described."""

_RECORDS = {
    "agent_groups": AgentGroup,
    "messaging_groups": MessagingGroup,
    "users": User,
    "user_roles": UserRole,
    "agent_group_members": Member,
    "user_dms": UserDm,
    "user_links": UserLink,
    "held_messages": HeldMessage,
    "refusals": Refusal,
    "agent_destinations": AgentDestination,
    "unregistered_senders": UnregisteredSender,
    "parked_events": ParkedEvent,
    "closed_questions": ClosedQuestion,
    "approval_askers": ApprovalAsker,
    "pairing_codes": PairingCode,
}
"""The tables whose columns are the fields of their records."""


def find(connection: apsw.Connection, table: str | None = None) -> list[str]:
    """Return a sentence for each row that does not fit its record, or names a missing row: at most `MOST`.

    `table` restricts it to the rows of one table.
    """
    tables = _READERS if table is None else (table,)
    misfits = (each for name in tables for each in _misfits(connection, name))
    return list(islice(chain(misfits, _bad_names(connection, tables), _dangling(connection, table)), MOST))


def _misfits(connection: apsw.Connection, table: str) -> Iterator[str]:
    return (f"{table} {each.id!r:.140}: {each.reason}" for each in _READERS[table](connection))


def _columns_of(table: str, cls: type) -> Callable[[apsw.Connection], list[rows.DamagedRow]]:
    names = ", ".join(field.name for field in fields(cls))
    query = f"SELECT {names} FROM {table}"  # noqa: S608 -- constants of this module
    return lambda connection: rows.damaged(cls, connection.execute(query))


_READERS: Mapping[str, Callable[[apsw.Connection], list[rows.DamagedRow]]] = {
    **{table: _columns_of(table, cls) for table, cls in _RECORDS.items()},
    "sessions": sessions.damaged,
    "messaging_group_agents": wirings.damaged,
    "pending_questions": pending_questions.damaged,
    "pending_approvals": pending_approvals.damaged,
    "network_sites": network_sites.damaged,
    "approval_cards": approval_cards.damaged,
    "approval_rules": approval_rules.damaged,
}
"""For each table the function that finds its rows that do not fit."""


def _bad_names(connection: apsw.Connection, tables: Collection[str]) -> Iterator[str]:
    """Find ids and folders that cannot be the names of folders (contract 1)."""
    named = connection.execute(
        """
        SELECT 'agent_groups', id, 'folder', folder FROM agent_groups
        UNION ALL SELECT 'agent_groups', id, 'id', id FROM agent_groups
        UNION ALL SELECT 'sessions', id, 'id', id FROM sessions
        """
    )
    for table, id_, column, name in named:
        if table not in tables:
            continue
        if not is_component(str(name)) or (column, name) == ("folder", agent_groups.SHARED_FOLDER):
            yield f"{table} {id_!r:.140}: {column} is {name!r:.140}, which cannot be the name of a folder"


def _dangling(connection: apsw.Connection, only: str | None) -> Iterator[str]:
    """Find rows that name a missing row of another table. `only` restricts it to the rows of one table."""
    query = "SELECT * FROM pragma_foreign_key_check(:only) LIMIT :most"  # NULL stands for all tables
    broken = connection.execute(query, {"only": only, "most": MOST}).fetchall()
    for table, rowid, parent, key in broken:
        column = connection.execute(
            'SELECT "from" FROM pragma_foreign_key_list(?) WHERE id = ?', (table, key)
        ).get
        row = connection.execute(f'SELECT *, "{column}" FROM "{table}" WHERE rowid = ?', (rowid,)).fetchone()  # noqa: S608 -- names of the schema
        id_, named = (row[0], row[-1]) if row else (None, None)
        yield f"{table} {str(id_)!r:.140}: {column} is {named!r:.140}, which is missing in {parent}"
