"""`sessions`: the conversations; at most one that is not archived for an agent group, chat and thread."""

from collections.abc import Iterable
from typing import TypedDict

import apsw

from nanoclaw.records import Presence, Session, SessionStatus
from nanoclaw.store import rows
from nanoclaw.store.errors import NotAllowed, NotFound
from nanoclaw.store.references import refuse_if_referenced

_SELECT = """
    SELECT id, agent_group_id, messaging_group_id, thread_id, agent_provider,
      status, coalesce(container_status, 'stopped'), last_active, created_at
    FROM sessions
"""


class SessionChanges(TypedDict, total=False):
    """What people may change of a session; what is seen of it is `record_presence`'s."""

    status: SessionStatus
    agent_provider: str | None


def create(connection: apsw.Connection, session: Session) -> None:
    """Insert it; where one is open for its agent group, chat and thread that is a conflict."""
    connection.execute(
        """
        INSERT INTO sessions (
          id, agent_group_id, messaging_group_id, thread_id, agent_provider,
          status, container_status, last_active, created_at
        )
        VALUES (
          :id, :agent_group_id, :messaging_group_id, :thread_id, :agent_provider,
          :status, :container_status, :last_active, :created_at
        )
        """,
        rows.values(session),
    )


# -- finding -------------------------------------------------------------------


def get(connection: apsw.Connection, id_: str) -> Session | None:
    """The session with that id."""
    return rows.one(Session, connection.execute(f"{_SELECT} WHERE id = :id", {"id": id_}))


def require(connection: apsw.Connection, id_: str) -> Session:
    """As `get`.

    Raises:
        NotFound: there is none.
    """
    found = get(connection, id_)
    if found is None:
        raise NotFound(f"there is no session {id_!r}")
    return found


def find_open(
    connection: apsw.Connection, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None
) -> Session | None:
    """The one that is not archived for an agent group, chat and thread (None is a value like any other)."""
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


def find_shared(connection: apsw.Connection, agent_group_id: str) -> Session | None:
    """The open session of an agent group over all its chats (session mode `agent-shared`)."""
    return find_open(connection, agent_group_id, None, None)


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Session]:
    """All of an agent group, also archived ones, the oldest first."""
    return rows.many(
        Session,
        connection.execute(
            f"{_SELECT} WHERE agent_group_id = :agent ORDER BY julianday(created_at), id",
            {"agent": agent_group_id},
        ),
    )


def every(connection: apsw.Connection, status: SessionStatus | None = None) -> list[Session]:
    """All of a status (None: of any), the oldest first."""
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
    """All that are not archived, the oldest first."""
    return rows.many(
        Session,
        connection.execute(f"{_SELECT} WHERE status <> 'archived' ORDER BY julianday(created_at), id"),
    )


def running(connection: apsw.Connection) -> list[Session]:
    """All with a container, as last written; the oldest first."""
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
    """Change it; returns what it is now. To open an archived one again where another is open is a conflict.

    Raises:
        NotFound: there is none.
    """
    session = rows.changed(require(connection, id_), SessionChanges, changes)
    connection.execute(
        "UPDATE sessions SET status = :status, agent_provider = :agent_provider WHERE id = :id",
        rows.values(session),
    )
    return session


def record_presence(connection: apsw.Connection, news: Iterable[Presence]) -> None:
    """Note what containers do and when sessions were used; sessions that are gone are no error."""
    connection.executemany(
        """
        UPDATE sessions SET container_status = coalesce(:container_status, container_status),
          last_active = coalesce(:last_active, last_active)
        WHERE id = :session_id
        """,
        [rows.values(presence) for presence in news],
    )


def nobody_runs(connection: apsw.Connection) -> None:
    """Note that no session has a container: the host has just begun."""
    connection.execute("UPDATE sessions SET container_status = 'stopped' WHERE container_status <> 'stopped'")


_REFERENCES = (
    ("parked events", "SELECT id FROM parked_events WHERE session_id = :id"),
    (
        "pending approvals",
        "SELECT approval_id FROM pending_approvals WHERE session_id = :id AND status = 'pending'",
    ),
)


def delete(connection: apsw.Connection, id_: str) -> Session:
    """Delete an archived one with its questions and decided approvals. Its folder stays where it is.

    Raises:
        NotFound: there is none.
        NotAllowed: it is not archived.
        StillReferenced: there are parked events for it, or approvals that wait.
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
    return session
