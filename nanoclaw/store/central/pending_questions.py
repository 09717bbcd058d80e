"""Rows of `pending_questions`: cards with buttons that wait for an answer."""

import apsw

from nanoclaw.records import Address, PendingQuestion
from nanoclaw.store.central import sessions
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow

_SELECT = """
    SELECT question_id, session_id, message_out_id, platform_id, channel_type, thread_id, title,
      options_json, created_at
    FROM pending_questions
"""


def create(connection: apsw.Connection, question: PendingQuestion) -> bool:
    """Insert a question. Return False if its id is waiting already: a card may be sent twice after a crash.

    Raises:
        NotFound: the session does not exist.
    """
    sessions.require(connection, question.session_id)
    connection.execute(
        """
        INSERT INTO pending_questions (
          question_id, session_id, message_out_id, platform_id, channel_type, thread_id, title,
          options_json, created_at
        )
        VALUES (
          :question_id, :session_id, :message_out_id, :platform_id, :channel_type, :thread_id, :title,
          :options, :created_at
        )
        ON CONFLICT (question_id) DO NOTHING
        """,
        rows.values(question),
    )
    return connection.changes() > 0


def get(connection: apsw.Connection, question_id: str) -> PendingQuestion | None:
    """Return the waiting question with this id, or None."""
    return rows.one(
        PendingQuestion, connection.execute(f"{_SELECT} WHERE question_id = :id", {"id": question_id})
    )


require = rows.required(get, "no question {!r} waits for an answer")
"""Return the waiting question with this id, or raise `NotFound`."""


def for_session(connection: apsw.Connection, session_id: str) -> list[PendingQuestion]:
    """Return a session's waiting questions, oldest first."""
    return rows.many(
        PendingQuestion,
        connection.execute(
            f"{_SELECT} WHERE session_id = :session ORDER BY julianday(created_at), question_id",
            {"session": session_id},
        ),
    )


def in_chat(connection: apsw.Connection, address: Address) -> list[PendingQuestion]:
    """Return the questions that wait in a chat and thread, newest first."""
    return rows.many(
        PendingQuestion,
        connection.execute(
            f"""
            {_SELECT}
            WHERE channel_type = :channel_type AND platform_id = :platform_id AND thread_id IS :thread_id
            ORDER BY julianday(created_at) DESC, question_id
            """,
            rows.values(address),
        ),
    )


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read. The other functions leave these rows out."""
    return rows.damaged(PendingQuestion, connection.execute(_SELECT))


def every(connection: apsw.Connection) -> list[PendingQuestion]:
    """Return all waiting questions, oldest first."""
    return rows.many(
        PendingQuestion, connection.execute(f"{_SELECT} ORDER BY julianday(created_at), question_id")
    )


def delete(connection: apsw.Connection, question_id: str) -> PendingQuestion:
    """Delete a question and return it. A second answer raises `NotFound`.

    Raises:
        NotFound: no question with this id is waiting.
    """
    found = require(connection, question_id)
    connection.execute("DELETE FROM pending_questions WHERE question_id = :id", {"id": question_id})
    return found


def forget_oldest(connection: apsw.Connection, session_id: str, *, keep: int) -> None:
    """Delete all of a session's questions but the newest `keep`."""
    connection.execute(
        """
        DELETE FROM pending_questions WHERE session_id = :session AND question_id NOT IN (
          SELECT question_id FROM pending_questions WHERE session_id = :session
          ORDER BY julianday(created_at) DESC, rowid DESC LIMIT :keep)
        """,
        {"session": session_id, "keep": keep},
    )
