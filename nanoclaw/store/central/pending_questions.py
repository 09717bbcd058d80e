"""Rows of `pending_questions`: cards with buttons that wait for an answer."""

from datetime import datetime

import apsw
from attrs import evolve

from nanoclaw.records import Address, PendingQuestion
from nanoclaw.store.central import sessions
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow
from nanoclaw.store.engine.times import from_text_or_none, to_text

KEPT_CLICKS = 50
"""Number of clicks on one card that are recognized when they are offered again."""

_SELECT = """
    SELECT question_id, session_id, message_out_id, platform_id, channel_type, thread_id, title,
      options_json, created_at, question, who, asker, multiple, free_text, expires_at, chosen_json,
      clicks_json, version, shown_version, platform_message_id
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
          options_json, created_at, question, who, asker, multiple, free_text, expires_at, chosen_json,
          clicks_json, version, shown_version, platform_message_id
        )
        VALUES (
          :question_id, :session_id, :message_out_id, :platform_id, :channel_type, :thread_id, :title,
          :options, :created_at, :question, :who, :asker, :multiple, :free_text, :expires_at, :chosen,
          :clicks, :version, :shown_version, :platform_message_id
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
    found = rows.many(
        PendingQuestion,
        connection.execute(
            f"{_SELECT} WHERE channel_type = :channel AND platform_id = :chat AND thread_id IS :thread",
            {"channel": address.channel_type, "chat": address.platform_id, "thread": address.thread_id},
        ),
    )
    found.sort(key=lambda each: each.question_id)
    return sorted(found, key=lambda each: each.created_at, reverse=True)


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


# -- several choices, and the card that shows them ------------------------------------


def choose(connection: apsw.Connection, question_id: str, value: str, click_id: str) -> PendingQuestion:
    """Choose an option, or take the choice back. A click that is offered again changes nothing.

    Raises:
        NotFound: no question with this id is waiting.
    """
    question = require(connection, question_id)
    if click_id in question.clicks:
        return question
    there = value in question.chosen
    chosen = [each for each in question.chosen if each != value] if there else [*question.chosen, value]
    changed = evolve(
        question,
        chosen=chosen,
        clicks=[*question.clicks, click_id][-KEPT_CLICKS:],
        version=question.version + 1,
    )
    connection.execute(
        """
        UPDATE pending_questions SET chosen_json = :chosen, clicks_json = :clicks, version = :version
        WHERE question_id = :question_id
        """,
        rows.values(changed),
    )
    return changed


def note_card(
    connection: apsw.Connection, question_id: str, message_out_id: str, platform_message_id: str
) -> None:
    """Store the platform's id of the card of a question. An unknown question is ignored."""
    connection.execute(
        """
        UPDATE pending_questions SET platform_message_id = :card
        WHERE question_id = :id AND message_out_id = :message
        """,
        {"card": platform_message_id, "id": question_id, "message": message_out_id},
    )


def note_shown(connection: apsw.Connection, question_id: str, version: int) -> None:
    """Store which version the card shows. An unknown question is ignored."""
    connection.execute(
        "UPDATE pending_questions SET shown_version = :version WHERE question_id = :id",
        {"version": version, "id": question_id},
    )


def with_old_cards(connection: apsw.Connection) -> list[PendingQuestion]:
    """Return the questions whose cards show an earlier version, oldest first."""
    return rows.many(
        PendingQuestion,
        connection.execute(
            f"""
            {_SELECT} WHERE version > shown_version AND platform_message_id IS NOT NULL
            ORDER BY julianday(created_at), question_id
            """
        ),
    )


# -- expiry ---------------------------------------------------------------------------


def overdue(connection: apsw.Connection, now: datetime) -> list[PendingQuestion]:
    """Return the questions that have expired, the longest ago first."""
    return rows.many(
        PendingQuestion,
        connection.execute(
            f"{_SELECT} WHERE expires_at <= :now ORDER BY expires_at, question_id", {"now": to_text(now)}
        ),
    )


def next_expiry(connection: apsw.Connection) -> datetime | None:
    """Return when the next question expires, or None."""
    ((found,),) = connection.execute("SELECT min(expires_at) FROM pending_questions")
    return from_text_or_none(found)


def is_ahead(connection: apsw.Connection, now: datetime) -> bool:
    """Return True if a question that expires was asked at a later date than `now`: the date was set back."""
    query = """
        SELECT EXISTS (SELECT 1 FROM pending_questions WHERE expires_at IS NOT NULL AND created_at > :now)
    """
    return bool(connection.execute(query, {"now": to_text(now)}).get)


def date_back(connection: apsw.Connection, now: datetime) -> None:
    """Let questions that were asked at a later date than `now` expire after their own length from now."""
    connection.execute(
        """
        UPDATE pending_questions SET created_at = :now, expires_at = strftime('%Y-%m-%dT%H:%M:%fZ',
          julianday(:now) + julianday(expires_at) - julianday(created_at))
        WHERE expires_at IS NOT NULL AND julianday(created_at) > julianday(:now)
        """,
        {"now": to_text(now)},
    )
