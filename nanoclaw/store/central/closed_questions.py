"""Rows of `closed_questions`: the ends of questions, and what their cards have yet to show."""

from datetime import timedelta

import apsw

from nanoclaw.records import ClosedQuestion
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import to_text

KEPT = timedelta(days=30)
"""How long the end of a question is kept."""
MOST = 10_000
"""Limit of rows. The oldest ones are deleted."""

_SELECT = """
    SELECT question_id, message_out_id, channel_type, platform_id, thread_id, closed_at, how, by_user,
      answer, card, platform_message_id
    FROM closed_questions
"""


def put(connection: apsw.Connection, closed: ClosedQuestion) -> None:
    """Store the end of a question, and delete those that are old. A later question may have the same id."""
    connection.execute(
        """
        REPLACE INTO closed_questions (
          question_id, message_out_id, channel_type, platform_id, thread_id, closed_at, how, by_user,
          answer, card, platform_message_id
        )
        VALUES (
          :question_id, :message_out_id, :channel_type, :platform_id, :thread_id, :closed_at, :how, :by_user,
          :answer, :card, :platform_message_id
        )
        """,
        rows.values(closed),
    )
    connection.execute(
        """
        DELETE FROM closed_questions WHERE closed_at < :before OR question_id IN (
          SELECT question_id FROM closed_questions ORDER BY closed_at DESC LIMIT -1 OFFSET :most)
        """,
        {"before": to_text(closed.closed_at - KEPT), "most": MOST},
    )


def get(connection: apsw.Connection, question_id: str) -> ClosedQuestion | None:
    """Return the end of a question, or None if it is not known."""
    return rows.one(
        ClosedQuestion, connection.execute(f"{_SELECT} WHERE question_id = :id", {"id": question_id})
    )


def forget(connection: apsw.Connection, question_id: str) -> None:
    """Delete the end of a question, if there is one: a new question has its id."""
    connection.execute("DELETE FROM closed_questions WHERE question_id = :id", {"id": question_id})


def with_old_cards(connection: apsw.Connection) -> list[ClosedQuestion]:
    """Return the questions whose cards do not show their end yet, oldest first."""
    return rows.many(
        ClosedQuestion,
        connection.execute(
            f"""
            {_SELECT} WHERE card IS NOT NULL AND platform_message_id IS NOT NULL
            ORDER BY closed_at, question_id
            """
        ),
    )


def note_card(
    connection: apsw.Connection, question_id: str, message_out_id: str, platform_message_id: str
) -> None:
    """Store the platform's id of a card whose question was closed while it was sent."""
    connection.execute(
        """
        UPDATE closed_questions SET platform_message_id = :card
        WHERE question_id = :id AND message_out_id = :message
        """,
        {"card": platform_message_id, "id": question_id, "message": message_out_id},
    )


def note_shown(connection: apsw.Connection, question_id: str) -> None:
    """Store that a card shows the end of its question, or never will."""
    connection.execute("UPDATE closed_questions SET card = NULL WHERE question_id = :id", {"id": question_id})
