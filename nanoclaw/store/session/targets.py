"""Finds the message that an edit, a deletion or a reaction is about, by the platform's id of it."""

import json

import apsw
from attrs import evolve

from nanoclaw.records.content import dump_content
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import NewMessage, Target

MAX_REACTIONS = 100
"""Limit of reactions that wait for an agent. Further ones are dropped."""
SEARCHED = 10_000
"""Number of the newest rows that are searched for an id."""


def complete(connection: apsw.Connection, message: NewMessage) -> NewMessage | None:
    """Return a message whose content has the number of the message that it is about.

    Return None if it is not to be stored: that message is not here, or too many reactions wait.
    """
    if message.said is not None:
        message = evolve(message, said=complete(connection, message.said))
    target = message.target
    if target is None:
        return message
    number = find(connection, target)
    if target.required and (number is None or (target.own and _has_enough_reactions(connection))):
        return None
    return evolve(message, content=f'{message.content[:-1]},"{target.key}":{json.dumps(number)}}}')


def _has_enough_reactions(connection: apsw.Connection) -> bool:
    """Return whether `MAX_REACTIONS` reactions wait for the agent already."""
    waiting = connection.execute(
        """
        SELECT count(*) FROM (
          SELECT 1 FROM messages_in
          WHERE status = 'pending' AND kind = 'system' AND content GLOB '{"type":"reaction",*' LIMIT :most)
        """,
        {"most": MAX_REACTIONS},
    ).get
    return bool(waiting == MAX_REACTIONS)


def find(connection: apsw.Connection, target: Target) -> int | None:
    """Return the number of the message, or None if the session does not have it."""
    return _sent(connection, target) if target.own else _received(connection, target)


def _received(connection: apsw.Connection, target: Target) -> int | None:
    for id_ in target.rows:
        row = connection.execute("SELECT seq FROM messages_in WHERE id = ?", (id_,)).fetchone()
        if row is not None:
            return _number(row[0])
    # Our rows of chats begin with the platform's id, so no content is parsed.
    beginning = dump_content({"id": target.platform_id})[:-1]
    row = connection.execute(
        """
        SELECT seq FROM (
          SELECT seq, kind, channel_type, platform_id, content FROM messages_in ORDER BY seq DESC LIMIT :most)
        WHERE kind IN ('chat', 'chat-sdk') AND channel_type = :channel AND platform_id = :place
          AND substr(content, 1, length(:beginning)) = :beginning
        ORDER BY seq LIMIT 1
        """,
        {**_where(target), "beginning": beginning},
    ).fetchone()
    return _number(row[0]) if row else None


def _sent(connection: apsw.Connection, target: Target) -> int | None:
    """Return the number of the agent's message. Its edits have the same id, so the oldest row counts."""
    row = connection.execute(
        """
        SELECT deliveries.seq FROM (
            SELECT rowid AS n, * FROM delivered ORDER BY rowid DESC LIMIT :most) AS sent
          JOIN deliveries USING (message_out_id)
        WHERE sent.platform_message_id = :id AND sent.status = 'delivered'
          AND sent.channel_type = :channel AND sent.platform_id = :place
          AND substr(message_out_id, 1, length(:notice)) <> :notice
        ORDER BY n LIMIT 1
        """,
        {**_where(target), "id": target.platform_id, "notice": NOTICE},
    ).fetchone()
    return _number(row[0]) if row else None


def _where(target: Target) -> dict[str, str | int]:
    return {
        "most": SEARCHED,
        "channel": target.chat.channel_type,
        "place": target.chat.platform_id,
    }


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
