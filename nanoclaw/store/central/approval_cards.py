"""Rows of `approval_cards`: the ledger of the cards that show approvals to people.

An attempt is recorded before the channel is asked. So after a crash the ledger shows each attempt that has no
outcome. A card that shows another status than its approval has is edited.
"""

import apsw

from nanoclaw.records import Address, ApprovalCard
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow

_SELECT = """
    SELECT card.approval_id, user_id, card.channel_type, card.platform_id, card.thread_id, card.status, shows,
      card.platform_message_id, attempts, next_attempt, doubts, started_at, error, code
    FROM approval_cards AS card
"""


def add(connection: apsw.Connection, card: ApprovalCard) -> None:
    """Insert a card, unless this person has one of this approval."""
    connection.execute(
        """
        INSERT INTO approval_cards (
          approval_id, user_id, channel_type, platform_id, thread_id, status, shows, platform_message_id,
          attempts, next_attempt, doubts, started_at, error, code
        )
        VALUES (
          :approval_id, :user_id, :channel_type, :platform_id, :thread_id, :status, :shows,
          :platform_message_id, :attempts, :next_attempt, :doubts, :started_at, :error,
          :code
        )
        ON CONFLICT DO NOTHING
        """,
        rows.values(card),
    )


def put(connection: apsw.Connection, card: ApprovalCard) -> None:
    """Store the new state of a card. A card that was deleted meanwhile stays deleted."""
    connection.execute(
        """
        UPDATE approval_cards SET status = :status, shows = :shows, attempts = :attempts, error = :error,
          platform_message_id = :platform_message_id, next_attempt = :next_attempt, doubts = :doubts,
          started_at = :started_at
        WHERE approval_id = :approval_id AND user_id = :user_id
        """,
        rows.values(card),
    )


def get(connection: apsw.Connection, approval_id: str, user_id: str) -> ApprovalCard | None:
    """Return the card of an approval for a person, or None."""
    found = connection.execute(f"{_SELECT} WHERE approval_id = ? AND user_id = ?", (approval_id, user_id))
    return rows.one(ApprovalCard, found)


def of_approval(connection: apsw.Connection, approval_id: str) -> list[ApprovalCard]:
    """Return the cards of an approval, by person."""
    found = connection.execute(f"{_SELECT} WHERE approval_id = ? ORDER BY user_id", (approval_id,))
    return rows.many(ApprovalCard, found)


def in_chat(connection: apsw.Connection, address: Address) -> list[ApprovalCard]:
    """Return the cards of pending approvals that a chat may show, by their approvals."""
    found = rows.many(
        ApprovalCard,
        connection.execute(
            f"""
            {_SELECT} JOIN pending_approvals AS approval USING (approval_id)
            WHERE card.channel_type = :channel AND card.platform_id = :chat AND approval.status = 'pending'
              AND card.status IN ('sending', 'unknown', 'shown')
            """,
            {"channel": address.channel_type, "chat": address.platform_id},
        ),
    )
    return sorted(found, key=lambda card: card.approval_id)


def unsettled(connection: apsw.Connection) -> list[ApprovalCard]:
    """Return the cards that do not show the state of their approval and have not failed."""
    return rows.many(
        ApprovalCard,
        connection.execute(
            f"""
            {_SELECT} JOIN pending_approvals AS approval USING (approval_id)
            WHERE card.status <> 'failed' AND shows <> CASE
                WHEN approval.status = 'approved' AND approval.finished_at IS NOT NULL
                  AND json_extract(approval.outcome, '$.error') IS NOT NULL
                THEN 'failed' ELSE approval.status END
            ORDER BY julianday(approval.created_at), approval_id, user_id
            """
        ),
    )


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read."""
    return rows.damaged(ApprovalCard, connection.execute(_SELECT))
