"""Rows of `sessions`. An agent group, chat and thread have at most one session that is not archived."""

from collections.abc import Iterable, Sequence
from typing import TypedDict

import apsw

from nanoclaw.records import Presence, Session, SessionStatus
from nanoclaw.store.central import budgets
from nanoclaw.store.central.references import refuse_if_referenced
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotAllowed, NotFound
from nanoclaw.store.engine.rows import DamagedRow

_SELECT = """
    SELECT id, agent_group_id, messaging_group_id, thread_id, agent_provider,
      status, coalesce(container_status, 'stopped'), last_active, created_at, model
    FROM sessions
"""


class SessionChanges(TypedDict, total=False):
    """Changeable fields of a session. `record_presence` writes its observed state."""

    status: SessionStatus
    agent_provider: str | None
    model: str | None


def create(connection: apsw.Connection, session: Session) -> None:
    """Insert a session. Raise `Conflict` if its agent group, chat and thread have an open one."""
    connection.execute(
        """
        INSERT INTO sessions (
          id, agent_group_id, messaging_group_id, thread_id, agent_provider,
          status, container_status, last_active, created_at, model
        )
        VALUES (
          :id, :agent_group_id, :messaging_group_id, :thread_id, :agent_provider,
          :status, :container_status, :last_active, :created_at, :model
        )
        """,
        rows.values(session),
    )


# -- finding -------------------------------------------------------------------


def get(connection: apsw.Connection, id_: str) -> Session | None:
    """Return the session with this id, or None."""
    return rows.one(Session, connection.execute(f"{_SELECT} WHERE id = :id", {"id": id_}))


require = rows.required(get, "there is no session {!r}")
"""Return the session with this id, or raise `NotFound`."""


def find_open(
    connection: apsw.Connection, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None
) -> Session | None:
    """Return the session that is not archived for an agent group, chat and thread. None matches only None."""
    return rows.one(
        Session,
        connection.execute(
            f"""
            {_SELECT}
            WHERE agent_group_id = :agent_group_id AND coalesce(messaging_group_id, '') = :messaging_group_id
              AND coalesce(thread_id, '') = :thread_id AND status <> 'archived'
            """,
            {
                "agent_group_id": agent_group_id,
                "messaging_group_id": messaging_group_id or "",
                "thread_id": thread_id or "",
            },
        ),
    )


Key = tuple[str, str | None, str | None]
"""An agent group, a chat and a thread."""


def find_all_open(
    connection: apsw.Connection, messaging_group_id: str, thread_id: str | None
) -> dict[Key, Session | DamagedRow]:
    """Return the open sessions for a chat, a thread in it, and all chats of an agent that is wired to it.

    Instead of a row that cannot be read there is the error.
    """
    found = connection.execute(
        f"""
        {_SELECT}
        WHERE agent_group_id IN (
            SELECT agent_group_id FROM messaging_group_agents WHERE messaging_group_id = :chat
          )
          AND coalesce(messaging_group_id, '') IN ('', :chat) AND coalesce(thread_id, '') IN ('', :thread)
          AND status <> 'archived'
        """,  # noqa: S608 -- a constant
        {"chat": messaging_group_id, "thread": thread_id or ""},
    )
    return {(str(row[1]), _text(row[2]), _text(row[3])): _session(row) for row in list(found)}


def _session(row: Sequence[object]) -> Session | DamagedRow:
    try:
        return rows.record(Session, row)
    except DamagedRow as error:
        return error


def _text(value: object) -> str | None:
    return str(value) if value else None


def find_shared(connection: apsw.Connection, agent_group_id: str) -> Session | None:
    """Return the open session of an agent group for all its chats (session mode `agent-shared`)."""
    return find_open(connection, agent_group_id, None, None)


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Session]:
    """Return all sessions of an agent group, including archived ones, oldest first."""
    return rows.many(
        Session,
        connection.execute(
            f"{_SELECT} WHERE agent_group_id = :agent ORDER BY julianday(created_at), id",
            {"agent": agent_group_id},
        ),
    )


def every(connection: apsw.Connection, status: SessionStatus | None = None) -> list[Session]:
    """Return all sessions with this status (None: any), oldest first."""
    return rows.many(
        Session,
        connection.execute(
            f"""
            {_SELECT} WHERE :status IS NULL OR status = :status ORDER BY julianday(created_at), id
            """,
            {"status": status},
        ),
    )


def open_ones(connection: apsw.Connection) -> list[Session]:
    """Return all sessions that are not archived, oldest first."""
    return rows.many(
        Session,
        connection.execute(f"{_SELECT} WHERE status <> 'archived' ORDER BY julianday(created_at), id"),
    )


def split(connection: apsw.Connection, *, archived: bool = True) -> tuple[list[Session], list[DamagedRow]]:
    """Return all sessions, oldest first, and the errors about the rows that cannot be read.

    `archived` False leaves out archived ones.
    """
    found = connection.execute(
        f"{_SELECT} WHERE :archived OR status IS NOT 'archived' ORDER BY julianday(created_at), id",
        {"archived": archived},
    )
    return rows.split(Session, found)


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read. The other functions leave these rows out."""
    return rows.damaged(Session, connection.execute(_SELECT))


def running(connection: apsw.Connection) -> list[Session]:
    """Return all sessions with a container, as last recorded, oldest first."""
    return rows.many(
        Session,
        connection.execute(
            f"""
            {_SELECT} WHERE container_status IN ('starting', 'running') ORDER BY julianday(created_at), id
            """
        ),
    )


# -- changing ------------------------------------------------------------------


def update(connection: apsw.Connection, id_: str, changes: SessionChanges) -> Session:
    """Change a session and return the new state. A new status replaces one that is not known.

    Reopening raises `Conflict` if its agent group, chat and thread have an open session already.

    Raises:
        NotFound: no session has this id.
        DamagedRow: another field of its row is damaged.
    """
    row = connection.execute(f"{_SELECT} WHERE id = :id", {"id": id_}).fetchone()
    if row is None:
        raise NotFound(f"there is no session {id_!r}")
    session = rows.overlaid(Session, row, SessionChanges, changes)
    connection.execute(
        """
        UPDATE sessions SET status = :status, agent_provider = :agent_provider, model = :model WHERE id = :id
        """,
        rows.values(session),
    )
    return session


def record_presence(connection: apsw.Connection, news: Iterable[Presence]) -> None:
    """Record container states and times of last activity. Deleted sessions are ignored."""
    connection.executemany(
        """
        UPDATE sessions SET container_status = coalesce(:container_status, container_status),
          last_active = coalesce(:last_active, last_active)
        WHERE id = :session_id
        """,
        [rows.values(presence) for presence in news],
    )


def mark_all_stopped(connection: apsw.Connection) -> None:
    """Record that no session has a container, because the host has just started."""
    connection.execute("UPDATE sessions SET container_status = 'stopped' WHERE container_status <> 'stopped'")


_REFERENCES = (
    ("parked events", "SELECT id FROM parked_events WHERE session_id = :id"),
    (
        "pending approvals",
        "SELECT approval_id FROM pending_approvals WHERE session_id = :id AND status = 'pending'",
    ),
)


def delete(connection: apsw.Connection, id_: str) -> Session:
    """Delete an archived session with all that it owns (contract 3). Its folder stays.

    Raises:
        NotFound: no session has this id.
        NotAllowed: it is not archived.
        StillReferenced: parked events or pending approvals refer to it.
    """
    session = require(connection, id_)
    if session.status != "archived":
        raise NotAllowed(f"session {id_} is {session.status}; archive it first")
    refuse_if_referenced(connection, f"session {id_}", id_, _REFERENCES)
    for owned in (
        "DELETE FROM performed_actions WHERE session_id = :id",
        "DELETE FROM pending_questions WHERE session_id = :id",
        "DELETE FROM pending_approvals WHERE session_id = :id",
        "DELETE FROM sessions WHERE id = :id",
    ):
        connection.execute(owned, {"id": id_})
    budgets.forget_scope(connection, f"session:{id_}")
    return session
