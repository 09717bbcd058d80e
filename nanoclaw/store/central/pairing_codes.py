"""Rows of `pairing_codes` and `pairing_tries`: at most one code for each channel."""

from datetime import datetime

import apsw

from nanoclaw.records.pairing import PairingCode
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import to_text

_SELECT = """
    SELECT channel_type, code_hash, salt, person, folder, created_at, expires_at, used_by, used_at,
      platform_id, answer, wrong
    FROM pairing_codes
"""


def put(connection: apsw.Connection, code: PairingCode) -> None:
    """Store a code. It replaces the one that the channel had, and forgets who has tried wrong ones."""
    forget(connection, code.channel_type)
    connection.execute(
        """
        INSERT INTO pairing_codes (
          channel_type, code_hash, salt, person, folder, created_at, expires_at, used_by, used_at,
          platform_id, answer, wrong
        )
        VALUES (
          :channel_type, :code_hash, :salt, :person, :folder, :created_at, :expires_at, :used_by, :used_at,
          :platform_id, :answer, :wrong
        )
        """,
        rows.values(code),
    )


def forget(connection: apsw.Connection, channel_type: str) -> None:
    """Delete the code of a channel, if it has one."""
    for table in ("pairing_tries", "pairing_codes"):
        connection.execute(f"DELETE FROM {table} WHERE channel_type = ?", (channel_type,))  # noqa: S608 -- constants


def get(connection: apsw.Connection, channel_type: str) -> PairingCode | None:
    """Return the code of a channel, used or not, or None."""
    return rows.one(
        PairingCode, connection.execute(f"{_SELECT} WHERE channel_type = :type", {"type": channel_type})
    )


def unanswered(connection: apsw.Connection) -> list[PairingCode]:
    """Return the used codes whose chats have to be told yet."""
    return rows.many(PairingCode, connection.execute(f"{_SELECT} WHERE answer IS NOT NULL"))


def mark_used(connection: apsw.Connection, code: PairingCode) -> None:
    """Store the use of a code."""
    connection.execute(
        """
        UPDATE pairing_codes
        SET used_by = :used_by, used_at = :used_at, platform_id = :platform_id, answer = :answer
        WHERE channel_type = :channel_type AND code_hash = :code_hash
        """,
        rows.values(code),
    )


def expire(connection: apsw.Connection, code: PairingCode, now: datetime) -> None:
    """End the life of a code."""
    connection.execute(
        "UPDATE pairing_codes SET expires_at = ? WHERE channel_type = ? AND code_hash = ?",
        (to_text(now), code.channel_type, code.code_hash),
    )


def mark_answered(connection: apsw.Connection, channel_type: str, code_hash: str) -> None:
    """Note that the chat in which a code was used need not be told any more."""
    connection.execute(
        "UPDATE pairing_codes SET answer = NULL WHERE channel_type = ? AND code_hash = ?",
        (channel_type, code_hash),
    )


def wrong_tries(connection: apsw.Connection, channel_type: str, user_id: str) -> int:
    """Return the number of wrong codes of a user since the code of the channel was made."""
    found = connection.execute(
        "SELECT wrong FROM pairing_tries WHERE channel_type = ? AND user_id = ?", (channel_type, user_id)
    ).get
    return int(found or 0)


def count_wrong(connection: apsw.Connection, channel_type: str, user_id: str) -> None:
    """Count a wrong code of a user."""
    connection.execute("UPDATE pairing_codes SET wrong = wrong + 1 WHERE channel_type = ?", (channel_type,))
    connection.execute(
        """
        INSERT INTO pairing_tries (channel_type, user_id, wrong) VALUES (?, ?, 1)
        ON CONFLICT DO UPDATE SET wrong = wrong + 1
        """,
        (channel_type, user_id),
    )
