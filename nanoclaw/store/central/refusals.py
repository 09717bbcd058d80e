"""Rows of `refusals`: senders of a chat, and whole chats, that somebody rejected or blocked."""

import apsw

from nanoclaw.records import Refusal
from nanoclaw.store.central import people
from nanoclaw.store.engine import rows

_COLUMNS = "messaging_group_id, user_id, status, until, decided_by, decided_at, approval_id, agent_group_id"


def put(connection: apsw.Connection, refusal: Refusal) -> None:
    """Store a refusal. It replaces those of the same sender or chat, for all agents or the same one."""
    lift(connection, refusal.messaging_group_id, refusal.user_id, refusal.agent_group_id)
    connection.execute(
        f"""
        INSERT INTO refusals ({_COLUMNS})
        VALUES (:messaging_group_id, :user_id, :status, :until, :decided_by, :decided_at, :approval_id,
          :agent_group_id)
        """,  # noqa: S608 -- a constant
        rows.values(refusal),
    )


def of_chat(connection: apsw.Connection, messaging_group_id: str) -> Refusal | None:
    """Return the refusal of a whole chat, or None."""
    return rows.one(
        Refusal,
        connection.execute(
            f"SELECT {_COLUMNS} FROM refusals WHERE messaging_group_id = ? AND user_id IS NULL",  # noqa: S608 -- a constant
            (messaging_group_id,),
        ),
    )


def of_sender(
    connection: apsw.Connection, messaging_group_id: str, user_id: str, agent_group_id: str
) -> Refusal | None:
    """Return the refusal of a person for an agent of a chat, by any of their identities, or None.

    A block comes first.
    """
    return rows.one(
        Refusal,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM refusals
            WHERE messaging_group_id = :chat AND user_id IN ({people.IDENTITIES})
              AND coalesce(agent_group_id, :agent) = :agent
            ORDER BY status = 'blocked' DESC, until IS NOT NULL, julianday(until) DESC
            """,  # noqa: S608 -- constants
            {"chat": messaging_group_id, "user_id": user_id, "agent": agent_group_id},
        ),
    )


def concern_senders(connection: apsw.Connection, messaging_group_id: str) -> bool:
    """Return whether a sender of a chat is refused."""
    sql = "SELECT EXISTS (SELECT 1 FROM refusals WHERE messaging_group_id = ? AND user_id IS NOT NULL)"
    return bool(connection.execute(sql, (messaging_group_id,)).get)


def every(connection: apsw.Connection) -> list[Refusal]:
    """Return all refusals, the newest first."""
    return rows.many(
        Refusal,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM refusals
            ORDER BY julianday(decided_at) DESC, messaging_group_id, user_id
            """  # noqa: S608 -- a constant
        ),
    )


def lift(
    connection: apsw.Connection,
    messaging_group_id: str,
    user_id: str | None,
    agent_group_id: str | None = None,
) -> bool:
    """Delete the refusals of one sender, or that of the chat itself. Return False if there was none.

    `agent_group_id` restricts it to the one for this agent alone.
    """
    connection.execute(
        """
        DELETE FROM refusals
        WHERE messaging_group_id = :chat AND user_id IS :user AND (:agent IS NULL OR agent_group_id = :agent)
        """,
        {"chat": messaging_group_id, "user": user_id, "agent": agent_group_id},
    )
    return connection.changes() > 0
