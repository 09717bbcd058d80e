"""`sessions`: the conversations; at most one that is not archived for an agent group, chat and thread."""

from collections.abc import Iterable
from datetime import datetime

import apsw

from nanoclaw.records import ContainerStatus, Session
from nanoclaw.store import rows
from nanoclaw.store.times import to_text


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


def get(connection: apsw.Connection, id_: str) -> Session | None:
    """The session with that id."""
    return rows.one(
        Session,
        connection.execute(
            """
            SELECT id, agent_group_id, messaging_group_id, thread_id, agent_provider,
              status, coalesce(container_status, 'stopped'), last_active, created_at
            FROM sessions WHERE id = :id
            """,
            {"id": id_},
        ),
    )


def find_open(
    connection: apsw.Connection, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None
) -> Session | None:
    """The one that is not archived for an agent group, chat and thread (None is a value like any other)."""
    return rows.one(
        Session,
        connection.execute(
            """
            SELECT id, agent_group_id, messaging_group_id, thread_id, agent_provider,
              status, coalesce(container_status, 'stopped'), last_active, created_at
            FROM sessions
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


def open_ones(connection: apsw.Connection) -> list[Session]:
    """All that are not archived, the oldest first."""
    return rows.many(
        Session,
        connection.execute(
            """
            SELECT id, agent_group_id, messaging_group_id, thread_id, agent_provider,
              status, coalesce(container_status, 'stopped'), last_active, created_at
            FROM sessions WHERE status <> 'archived' ORDER BY julianday(created_at), id
            """
        ),
    )


def update_container_status(connection: apsw.Connection, id_: str, status: ContainerStatus) -> None:
    """Note what its container does."""
    connection.execute(
        "UPDATE sessions SET container_status = :status WHERE id = :id", {"id": id_, "status": status}
    )


def update_last_active(connection: apsw.Connection, ids: Iterable[str], now: datetime) -> None:
    """Note that these sessions are in use."""
    connection.executemany(
        "UPDATE sessions SET last_active = :now WHERE id = :id",
        [{"id": id_, "now": to_text(now)} for id_ in ids],
    )
