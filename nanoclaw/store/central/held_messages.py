"""Rows of `held_messages`: messages that wait until somebody lets their sender, or their chat, in."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.records import Address, HeldMessage
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import from_text, to_text

_COLUMNS = "id, message_id, messaging_group_id, user_id, event, bytes, agents, held_at"


SENDER_GONE, CHAT_GONE = "held_sender_deleted", "held_chat_deleted"
"""Reasons for dropping held messages with their sender or their chat."""
AT_ONCE = 20
"""Limit of messages that one read returns, because each may be large."""


@frozen
class Held:
    """How much is held: the number of messages and their bytes."""

    messages: int
    bytes: int


@frozen
class HeldOfSender:
    """How much is held of a sender in a chat."""

    messaging_group_id: str
    user_id: str
    messages: int
    bytes: int
    held_since: datetime
    agents: Sequence[str]
    """The agents that wait; empty if the chat has none yet."""


def hold(connection: apsw.Connection, message: HeldMessage) -> None:
    """Store a message after all others. `id` is ignored."""
    connection.execute(
        """
        INSERT INTO held_messages (message_id, messaging_group_id, user_id, event, bytes, agents, held_at)
        VALUES (:message_id, :messaging_group_id, :user_id, :event, :bytes, :agents, :held_at)
        """,
        rows.values(message),
    )


def by_message(connection: apsw.Connection, message_id: str) -> HeldMessage | None:
    """Return the row of a message, or None if it is not held."""
    return rows.one(
        HeldMessage,
        connection.execute(f"SELECT {_COLUMNS} FROM held_messages WHERE message_id = ?", (message_id,)),  # noqa: S608 -- a constant
    )


def of_target(connection: apsw.Connection, address: Address, target: str) -> list[HeldMessage]:
    """Return the rows of the message of a chat that its network calls `target`, with those of its edits."""
    return rows.many(
        HeldMessage,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM held_messages
            WHERE messaging_group_id = (
                SELECT id FROM messaging_groups WHERE channel_type = :channel AND platform_id = :chat
              ) AND json_valid(event) AND :target IN (
                json_extract(event, '$.event_id'), json_extract(event, '$.message.id'),
                json_extract(event, '$.content.id')
              )
            ORDER BY id
            """,  # noqa: S608 -- a constant
            {"channel": address.channel_type, "chat": address.platform_id, "target": target},
        ),
    )


def wait_for(connection: apsw.Connection, id_: int, agents: Sequence[str]) -> None:
    """Change the agents that wait for a message."""
    connection.execute(
        "UPDATE held_messages SET agents = :agents WHERE id = :id",
        {"id": id_, "agents": json.dumps(list(agents))},
    )


def of_sender(
    connection: apsw.Connection, messaging_group_id: str, user_id: str | None = None
) -> list[HeldMessage]:
    """Return what is held in a chat, in the order in which it came. `user_id` restricts it to one sender."""
    return rows.many(
        HeldMessage,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM held_messages
            WHERE messaging_group_id = :chat AND (:user IS NULL OR user_id = :user) ORDER BY id
            """,  # noqa: S608 -- a constant
            {"chat": messaging_group_id, "user": user_id},
        ),
    )


def waiting(connection: apsw.Connection) -> list[HeldOfSender]:
    """Return how much waits of each sender in each chat, the longest waiting first."""
    return rows.many(
        HeldOfSender,
        connection.execute(
            """
            SELECT messaging_group_id, user_id, count(*), sum(bytes), min(held_at), max(agents)
            FROM held_messages GROUP BY messaging_group_id, user_id ORDER BY min(id)
            """
        ),
    )


def any_in(connection: apsw.Connection, messaging_group_id: str) -> bool:
    """Return whether messages of a chat are held."""
    sql = "SELECT EXISTS (SELECT 1 FROM held_messages WHERE messaging_group_id = ?)"
    return bool(connection.execute(sql, (messaging_group_id,)).get)


def waiting_agents(connection: apsw.Connection, messaging_group_id: str, user_id: str) -> frozenset[str]:
    """Return the agents that wait for messages of a sender in a chat. An empty name: any agent."""
    found = connection.execute(
        """
        SELECT DISTINCT coalesce(agent.value, '')
        FROM held_messages AS held LEFT JOIN json_each(held.agents) AS agent
        WHERE held.messaging_group_id = :chat AND held.user_id = :user
        """,
        {"chat": messaging_group_id, "user": user_id},
    )
    return frozenset(str(agent) for (agent,) in found)


def senders(connection: apsw.Connection) -> list[tuple[str, str]]:
    """Return the chats and senders of whom something is held, the longest waiting first."""
    found = connection.execute(
        "SELECT messaging_group_id, user_id FROM held_messages GROUP BY 1, 2 ORDER BY min(id)"
    )
    return [(str(chat), str(user)) for chat, user in found]


def amount(
    connection: apsw.Connection, messaging_group_id: str | None = None, user_id: str | None = None
) -> Held:
    """Return how much is held of a sender in a chat, or in all."""
    found = connection.execute(
        """
        SELECT count(*), coalesce(sum(bytes), 0) FROM held_messages
        WHERE (:chat IS NULL OR messaging_group_id = :chat) AND (:user IS NULL OR user_id = :user)
        """,
        {"chat": messaging_group_id, "user": user_id},
    )
    [(messages, size)] = found.fetchall()
    return Held(int(str(messages)), int(str(size)))


def oldest(connection: apsw.Connection) -> datetime | None:
    """Return when the oldest held message came, or None if nothing is held."""
    found = connection.execute("SELECT held_at FROM held_messages ORDER BY julianday(held_at) LIMIT 1").get
    return from_text(str(found)) if found is not None else None


def overdue(connection: apsw.Connection, before: datetime) -> list[HeldMessage]:
    """Return the oldest messages that came before a time, at most `AT_ONCE`."""
    return rows.many(
        HeldMessage,
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM held_messages
            WHERE julianday(held_at) <= julianday(:before) ORDER BY id LIMIT :most
            """,  # noqa: S608 -- a constant
            {"before": to_text(before), "most": AT_ONCE},
        ),
    )


def remove(connection: apsw.Connection, ids: Iterable[int]) -> frozenset[int]:
    """Delete messages that were delivered or dropped. Return the ids of those that were there."""
    found = [
        connection.execute("DELETE FROM held_messages WHERE id = ? RETURNING id", (id_,)).get for id_ in ids
    ]
    return frozenset(int(str(id_)) for id_ in found if id_ is not None)


def drop(
    connection: apsw.Connection,
    reason: str,
    *,
    user_id: str | None = None,
    messaging_group_id: str | None = None,
) -> None:
    """Delete what is held of a sender, or of a chat, and count it as dropped."""
    values = {"reason": reason, "user": user_id, "chat": messaging_group_id}
    connection.execute(
        """
        INSERT INTO unregistered_senders (
          channel_type, platform_id, user_id, reason, messaging_group_id, message_count, first_seen, last_seen
        )
        SELECT channel_type, platform_id, user_id, :reason, chat.id, count(*), min(held_at), max(held_at)
        FROM held_messages JOIN messaging_groups AS chat ON chat.id = messaging_group_id
        WHERE user_id = :user OR messaging_group_id = :chat
        GROUP BY chat.id, user_id
        ON CONFLICT (channel_type, platform_id, coalesce(user_id, ''), reason) DO UPDATE SET
          message_count = message_count + excluded.message_count, last_seen = excluded.last_seen
        """,
        values,
    )
    connection.execute(
        "DELETE FROM held_messages WHERE user_id = :user OR messaging_group_id = :chat",
        {"user": user_id, "chat": messaging_group_id},
    )
