"""Rows of `entries`: messages of both sides, and changes of them. Functions of a connection."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import apsw
from attrs import frozen

from nanoclaw.store.engine.times import from_text, to_text

EntryKind = Literal["user", "message", "card", "edit", "card_edit", "reaction", "user_reaction"]
"""A message of a user, a message or a card of an agent, or a change of a message."""
MESSAGES = ("user", "message", "card")
_COLUMNS = "seq, chat, thread, kind, message_id, author, in_reply_to, content, created_at"


@frozen
class NewEntry:
    """An entry to store."""

    chat: str
    thread: str
    kind: EntryKind
    message_id: str
    """The id of the message, or of the message that it changes."""
    key: str
    """An entry with the key of an earlier one in its chat is not stored again."""
    content: Mapping[str, Any]
    """A JSON object."""
    created_at: datetime
    author: str = ""
    in_reply_to: str | None = None


@frozen
class Entry:
    """A stored entry."""

    seq: int
    """Its number. Entries of all chats of a channel have increasing numbers."""
    chat: str
    thread: str
    kind: EntryKind
    message_id: str
    author: str
    in_reply_to: str | None
    content: Mapping[str, Any]
    created_at: datetime


@frozen
class Thread:
    """A thread of a chat, as a list of threads shows it."""

    first: Entry
    """The first message that is kept, as it is now."""
    last_seq: int
    """The number of the newest message."""
    last_at: datetime


def add(connection: apsw.Connection, entry: NewEntry, *, accepted: bool = True) -> Entry:
    """Store an entry, and return it. If its key is known in the chat, the earlier one is returned.

    A change is also applied to the message that it changes, in the same transaction.
    """
    connection.execute(
        """
        INSERT INTO entries (chat, thread, kind, message_id, key, author, in_reply_to, content, created_at,
          accepted)
        VALUES (:chat, :thread, :kind, :message_id, :key, :author, :in_reply_to, :content, :created_at,
          :accepted)
        ON CONFLICT (chat, key) DO NOTHING
        """,
        {
            "chat": entry.chat,
            "thread": entry.thread,
            "kind": entry.kind,
            "message_id": entry.message_id,
            "key": entry.key,
            "author": entry.author,
            "in_reply_to": entry.in_reply_to,
            "content": json.dumps(dict(entry.content), ensure_ascii=False),
            "created_at": to_text(entry.created_at),
            "accepted": int(accepted),
        },
    )
    if connection.changes() and entry.kind not in MESSAGES:
        _apply(connection, entry)
    query = f"SELECT {_COLUMNS} FROM entries WHERE chat = :chat AND key = :key"  # noqa: S608 -- names of this module
    return _entries(connection.execute(query, {"chat": entry.chat, "key": entry.key}))[0]


def _apply(connection: apsw.Connection, change: NewEntry) -> None:
    """Bring the content of a changed message up to date."""
    row = connection.execute(
        """
        SELECT seq, content FROM entries
        WHERE message_id = :id AND chat = :chat AND kind IN ('user', 'message', 'card')
        """,
        {"id": change.message_id, "chat": change.chat},
    ).fetchone()
    if row is None:
        return
    before: dict[str, Any] = json.loads(str(row[1]))
    connection.execute(
        "UPDATE entries SET content = :content WHERE seq = :seq",
        {"content": json.dumps(_changed(before, change), ensure_ascii=False), "seq": row[0]},
    )


def _changed(before: Mapping[str, Any], change: NewEntry) -> Mapping[str, Any]:
    match change.kind:
        case "reaction":
            return {**before, "reactions": [*before.get("reactions", ()), change.content["emoji"]]}
        case "card_edit" | "user_reaction":
            return {**before, **change.content}
        case _:
            kept = {key: before[key] for key in ("files", "reactions", "user_reactions") if key in before}
            return {**kept, **change.content, "edited": True}


def has(connection: apsw.Connection, chat: str, key: str) -> bool:
    """Return True if an entry with a key is in a chat."""
    query = "SELECT EXISTS (SELECT 1 FROM entries WHERE chat = :chat AND key = :key)"
    return bool(connection.execute(query, {"chat": chat, "key": key}).get)


def accept(connection: apsw.Connection, chat: str, key: str) -> None:
    """Note that the host has a user's message."""
    connection.execute(
        "UPDATE entries SET accepted = 1 WHERE chat = :chat AND key = :key", {"chat": chat, "key": key}
    )


def withdraw(connection: apsw.Connection, chat: str, key: str) -> None:
    """Delete a user's message that the host has not accepted."""
    connection.execute(
        "DELETE FROM entries WHERE chat = :chat AND key = :key AND accepted = 0", {"chat": chat, "key": key}
    )


def withdraw_all(connection: apsw.Connection) -> None:
    """Delete the users' messages that no host has confirmed. Their senders were told of no success."""
    connection.execute("DELETE FROM entries WHERE accepted = 0")


def after(connection: apsw.Connection, chats: Sequence[str], seq: int, limit: int) -> list[Entry]:
    """Return the entries of chats after a number, oldest first."""
    return _entries(
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM entries
            WHERE chat IN (SELECT value FROM json_each(:chats)) AND seq > :seq ORDER BY seq LIMIT :limit
            """,  # noqa: S608 -- names of this module
            {"chats": json.dumps(list(chats)), "seq": seq, "limit": limit},
        )
    )


def history(
    connection: apsw.Connection, chat: str, thread: str | None, before: int | None, limit: int
) -> list[Entry]:
    """Return the newest messages of a chat or of one of its threads as they are now, oldest first.

    `before` is the number of the oldest one that is known; None: there is none.
    """
    found = _entries(
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM entries
            WHERE chat = :chat AND kind IN ('user', 'message', 'card')
              AND (:thread IS NULL OR thread = :thread) AND (:before IS NULL OR seq < :before)
            ORDER BY seq DESC LIMIT :limit
            """,  # noqa: S608 -- names of this module
            {"chat": chat, "thread": thread, "before": before, "limit": limit},
        )
    )
    return found[::-1]


def newest(connection: apsw.Connection, chats: Sequence[str]) -> int:
    """Return the number of the newest entry of chats; 0 if there is none."""
    query = "SELECT max(seq) FROM entries WHERE chat IN (SELECT value FROM json_each(:chats))"
    return int(connection.execute(query, {"chats": json.dumps(list(chats))}).get or 0)


def message(connection: apsw.Connection, chat: str, message_id: str) -> Entry | None:
    """Return a message of a chat as it is now."""
    found = _entries(
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM entries
            WHERE message_id = :id AND chat = :chat AND kind IN ('user', 'message', 'card')
            """,  # noqa: S608 -- names of this module
            {"id": message_id, "chat": chat},
        )
    )
    return found[0] if found else None


def by_seq(connection: apsw.Connection, seq: int) -> Entry | None:
    """Return the entry with a number."""
    query = f"SELECT {_COLUMNS} FROM entries WHERE seq = :seq"  # noqa: S608 -- names of this module
    found = _entries(connection.execute(query, {"seq": seq}))
    return found[0] if found else None


def threads(connection: apsw.Connection, chat: str, limit: int) -> list[Entry]:
    """Return the first message of each thread of a chat, the thread with the newest message first."""
    return _entries(
        connection.execute(
            f"""
            SELECT {_COLUMNS} FROM entries JOIN (
              SELECT min(seq) AS first, max(seq) AS last FROM entries
              WHERE chat = :chat AND kind IN ('user', 'message', 'card') GROUP BY thread
            ) ON seq = first ORDER BY last DESC LIMIT :limit
            """,  # noqa: S608 -- names of this module
            {"chat": chat, "limit": limit},
        )
    )


def summaries(connection: apsw.Connection, chat: str, limit: int) -> list[Thread]:
    """Return the threads of a chat, the one with the newest message first."""
    found = connection.execute(
        f"""
        SELECT {_COLUMNS}, last, (SELECT created_at FROM entries WHERE seq = last) FROM entries JOIN (
          SELECT min(seq) AS first, max(seq) AS last FROM entries
          WHERE chat = :chat AND kind IN ('user', 'message', 'card') GROUP BY thread
        ) ON seq = first ORDER BY last DESC LIMIT :limit
        """,  # noqa: S608 -- names of this module
        {"chat": chat, "limit": limit},
    ).fetchall()
    return [Thread(_entry(row), int(str(row[-2])), from_text(str(row[-1]))) for row in found]


def prune(connection: apsw.Connection, older: datetime) -> None:
    """Delete the entries that are older than a date."""
    connection.execute("DELETE FROM entries WHERE created_at < :older", {"older": to_text(older)})


def _entries(found: "apsw.Cursor") -> list[Entry]:
    return [_entry(row) for row in found.fetchall()]


def _entry(row: "apsw.SQLiteValues") -> Entry:
    return Entry(
        int(str(row[0])),
        str(row[1]),
        str(row[2]),
        row[3],  # type: ignore[arg-type]  # only this module writes it
        str(row[4]),
        str(row[5]),
        None if row[6] is None else str(row[6]),
        json.loads(str(row[7])),
        from_text(str(row[8])),
    )
