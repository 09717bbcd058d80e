"""Rows of `refusals`: senders of a chat, and whole chats, that somebody rejected or blocked."""

import apsw

from nanoclaw.records import Refusal
from nanoclaw.store.central import people
from nanoclaw.store.engine import rows

_COLUMNS = "messaging_group_id, user_id, status, until, decided_by, decided_at, approval_id"


def put(connection: apsw.Connection, refusal: Refusal) -> None:
    """Store a refusal. It replaces the one of the same sender or chat."""
    lift(connection, refusal.messaging_group_id, refusal.user_id)
    connection.execute(
        f"""
        INSERT INTO refusals ({_COLUMNS})
        VALUES (:messaging_group_id, :user_id, :status, :until, :decided_by, :decided_at, :approval_id)
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


def of_sender(connection: apsw.Connection, messaging_group_id: str, user_id: str) -> Refusal | None:
    """Return the refusal of a person in a chat, by any of their identities, or None. A block comes first."""
    return rows.one(
        Refusal,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM refusals
            WHERE messaging_group_id = :chat AND user_id IN ({people.IDENTITIES})
            ORDER BY status = 'blocked' DESC, until IS NOT NULL, julianday(until) DESC
            """,  # noqa: S608 -- constants
            {"chat": messaging_group_id, "user_id": user_id},
        ),
    )


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


def lift(connection: apsw.Connection, messaging_group_id: str, user_id: str | None) -> bool:
    """Delete the refusal of one sender, or of the chat itself. Return False if there was none."""
    connection.execute(
        "DELETE FROM refusals WHERE messaging_group_id = :chat AND user_id IS :user",
        {"chat": messaging_group_id, "user": user_id},
    )
    return connection.changes() > 0
