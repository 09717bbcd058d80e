"""Rows of `messages_in`: the messages from the host to the runner. Only the session actor writes them."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw
from attrs import field, frozen

from nanoclaw.records import Address, MessageKind
from nanoclaw.store.engine.times import as_stored, from_text_or_none, to_text
from nanoclaw.store.session.columns import Row

MAX_REPORTS = 100
"""Limit of failure reports that wait for an agent. It bounds the file if a container fails endlessly."""
PLAUSIBLE_LEAD = 1_000_000
"""Limit of an outbound sequence number's lead over the host's. Higher ones are ignored (contract 4)."""


@frozen
class NewMessage:
    """A message to store. `content` is JSON. `trigger` False stores it as context that wakes no runner."""

    id: str
    kind: MessageKind
    timestamp: datetime
    address: Address | None
    """The address that it came from. None means the session's own chat, if it has one."""
    content: str
    trigger: bool = True
    platform_message_id: str | None = None
    process_after: datetime | None = None
    """Time before which it is not due. None means at once."""
    said: "NewMessage | None" = None
    """The user's message that this message replaces. It is stored as completed, so it gets no answer."""
    source: "Source | None" = None
    """The origin, if the message is from another agent."""
    target: "Target | None" = None
    """The message that it is about, if it is an edit, a deletion or a reaction."""


@frozen
class Source:
    """The origin of a message from another agent (contract 5)."""

    session_id: str
    """An answer goes back to this session."""
    causation_id: str
    hops: int


@frozen
class Target:
    """The message that a row is about. `key` is the key of the row's content that gets its number."""

    key: str
    chat: Address
    platform_id: str
    rows: Sequence[str] = ()
    """The ids that its row may have, if it is a user's."""
    own: bool = False
    """True if it is one of the agent's own messages."""
    required: bool = True
    """True if the row is stored only where the message is."""


@frozen
class Schedule:
    """The schedule of a task's open row. `zone` None means the user's."""

    series_id: str
    recurrence: str | None = None
    zone: str | None = None
    stored_at: datetime | None = None
    """The date at which the row was stored. It is in the future if the date was set back since."""


@frozen
class OpenMessage:
    """A pending message, with what the host needs to settle and retry it."""

    id: str
    seq: int
    tries: int
    process_after: datetime | None = field(converter=as_stored)
    """Rounded to the millisecond, as the runner reads it, so that host and runner agree on what is due."""
    trigger: bool
    address: Address | None
    platform_message_id: str | None
    """The platform's own id of the message, read from its content."""
    kind: str = "chat"
    expires: bool = False
    """True for an occurrence that must not run late: its task has `catch_up` none."""
    schedule: Schedule | None = None
    """None unless it is a task."""

    @property
    def task(self) -> bool:
        """Return whether it is an occurrence of a task, which another occurrence may follow."""
        return self.kind == "task"

    @property
    def awaits_answer(self) -> bool:
        """Return whether a user or task waits for its outcome: it is neither context nor from the host."""
        return self.trigger and self.kind != "system"

    def due(self, now: datetime) -> bool:
        """Return whether a runner would claim it now."""
        return self.process_after is None or self.process_after <= now


def insert(connection: apsw.Connection, message: NewMessage) -> OpenMessage | None:
    """Store a message with the next even sequence number. Return None if it is stored already."""
    if is_stored(connection, message.id):
        return None
    if message.said is not None and insert(connection, message.said):
        settle(connection, message.said.id, "completed")
    seq, address, source = next_seq(connection), message.address, message.source
    connection.execute(
        """
        INSERT INTO messages_in
          (id, seq, kind, timestamp, status, process_after, platform_id, channel_type, thread_id, content,
           trigger, source_session_id, causation_id, hops)
        VALUES
          (:id, :seq, :kind, :timestamp, 'pending', :process_after, :platform_id, :channel_type, :thread_id,
           :content, :trigger, :source_session_id, :causation_id, :hops)
        """,
        {
            "id": message.id,
            "seq": seq,
            "kind": message.kind,
            "timestamp": to_text(message.timestamp),
            "process_after": to_text(message.process_after) if message.process_after else None,
            **address_values(address),
            "content": message.content,
            "trigger": int(message.trigger),
            "source_session_id": source and source.session_id,
            "causation_id": source and source.causation_id,
            "hops": source and source.hops,
        },
    )
    return OpenMessage(
        message.id,
        seq,
        0,
        message.process_after,
        message.trigger,
        address,
        message.platform_message_id,
        kind=message.kind,
    )


def address_values(address: Address | None) -> dict[str, str | None]:
    """Return the address columns of a row as named parameters; all are NULL without an address."""
    return {
        "platform_id": address.platform_id if address else None,
        "channel_type": address.channel_type if address else None,
        "thread_id": address.thread_id if address else None,
    }


def is_stored(connection: apsw.Connection, message_id: str) -> bool:
    """Return whether a message with this id is stored, in any status."""
    return connection.execute("SELECT 1 FROM messages_in WHERE id = ?", (message_id,)).fetchone() is not None


def content_of(connection: apsw.Connection, message_id: str) -> str | None:
    """Return the content of a message, in any status; None if it is not stored."""
    row = connection.execute("SELECT content FROM messages_in WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else str(row[0])


def holds(connection: apsw.Connection, message_id: str, content: str) -> bool:
    """Return whether a message with this id and content is stored."""
    query = "SELECT 1 FROM messages_in WHERE id = ? AND content = ?"
    return connection.execute(query, (message_id, content)).fetchone() is not None


def next_seq(connection: apsw.Connection) -> int:
    """Return the next even sequence number and raise the mark (contract 4).

    It is above all numbers of the host and the largest outbound number seen. It reads the rows too, because
    another build's file has no mark.
    """
    above = connection.execute(
        """
        SELECT max(
          CAST(coalesce((SELECT max(seq) FROM messages_in), 0) AS INTEGER),
          coalesce((SELECT max(CAST(value AS INTEGER)) FROM meta WHERE key IN ('seq', 'outbound_seq')), 0))
        """
    ).get
    seq = (above if isinstance(above, int) else 0) // 2 * 2 + 2
    set_mark(connection, "seq", seq)
    return seq


def largest_seq(connection: apsw.Connection) -> int:
    """Return the largest sequence number that the host has assigned."""
    there = connection.execute("SELECT max(seq) FROM messages_in").get
    return max(mark(connection, "seq"), there if isinstance(there, int) else 0)


def mark(connection: apsw.Connection, key: str) -> int:
    """Return a high-water mark of `meta`, 0 if it is not set."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return Row("meta", key).count("value", row[0]) if row else 0


def set_mark(connection: apsw.Connection, key: str, value: int) -> None:
    """Set a high-water mark."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, str(value)))


def raise_mark(connection: apsw.Connection, key: str, value: int) -> None:
    """Set a high-water mark unless it is higher already."""
    connection.execute(
        """
        INSERT INTO meta (key, value) VALUES (:key, :value)
        ON CONFLICT DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < :number
        """,
        {"key": key, "value": str(value), "number": value},
    )


def has_enough_reports(connection: apsw.Connection) -> bool:
    """Return whether `MAX_REPORTS` reports of the host are already waiting for the agent."""
    waiting = connection.execute(
        """
        SELECT count(*) FROM (
          SELECT 1 FROM messages_in
          WHERE status = 'pending' AND kind = 'system' AND trigger = 0
            AND NOT content GLOB '{"type":"reaction",*' AND NOT content GLOB '{"type":"deleted",*'
          LIMIT :most)
        """,
        {"most": MAX_REPORTS},
    ).get
    return bool(waiting == MAX_REPORTS)


def open_messages(connection: apsw.Connection) -> list[OpenMessage]:
    """Return all pending messages, oldest first."""
    rows = connection.execute(
        """
        SELECT id, coalesce(seq, 0), coalesce(tries, 0), process_after, trigger,
               channel_type, platform_id, thread_id,
               iif(json_valid(content), json_extract(content, '$.id'), NULL), kind,
               coalesce(catch_up, '') = 'none', coalesce(series_id, id), recurrence, zone, timestamp
        FROM messages_in WHERE status = 'pending' ORDER BY seq
        """
    )
    return [_open_message(row) for row in rows]


def _open_message(row: Iterable[Any]) -> OpenMessage:
    id_, seq, tries, after, trigger, channel, platform, thread, platform_message_id, *task = row
    kind, expires, series_id, recurrence, zone, timestamp = task
    columns = Row("messages_in", id_)
    return OpenMessage(
        id=columns.text("id", id_),
        seq=columns.number("seq", seq),
        tries=columns.number("tries", tries),
        process_after=columns.time("process_after", after),
        trigger=bool(trigger),
        address=Address(channel, platform, thread) if channel and platform else None,
        platform_message_id=platform_message_id if isinstance(platform_message_id, str) else None,
        kind=str(kind),
        expires=bool(expires),
        schedule=schedule(series_id, recurrence, zone, timestamp) if kind == "task" else None,
    )


def schedule(series_id: object, recurrence: object, zone: object, timestamp: object) -> Schedule:
    """Return the schedule of a task from the columns of its row."""
    return Schedule(
        str(series_id),
        str(recurrence) if recurrence else None,
        str(zone) if zone else None,
        from_text_or_none(timestamp),
    )


def settle(connection: apsw.Connection, message_id: str, status: str) -> None:
    """Set the final status of a pending message: completed or failed."""
    connection.execute(
        "UPDATE messages_in SET status = ? WHERE id = ? AND status = 'pending'", (status, message_id)
    )


def postpone(connection: apsw.Connection, message_id: str, tries: int, process_after: datetime) -> None:
    """Schedule another try of a pending message, not before `process_after`."""
    connection.execute(
        "UPDATE messages_in SET tries = ?, process_after = ? WHERE id = ? AND status = 'pending'",
        (tries, to_text(process_after), message_id),
    )


@frozen
class Answered:
    """The facts about an answered message that its channel needs."""

    platform_message_id: str | None = None
    """The platform's own id of the message, or None if its content has none."""
    scheduled_at: datetime | None = None
    """The time for which it was scheduled, if it is a task."""


def answered(connection: apsw.Connection, message_id: str) -> Answered:
    """Return the facts about a message that the channel of its answer needs."""
    row = connection.execute(
        """
        SELECT iif(json_valid(content), json_extract(content, '$.id'), NULL),
          iif(kind = 'task', coalesce(slot, process_after), NULL)
        FROM messages_in WHERE id = ?
        """,
        (message_id,),
    ).fetchone()
    if row is None:
        return Answered()
    id_, at = row
    return Answered(id_ if isinstance(id_, str) else None, from_text_or_none(at))


def sender_of(connection: apsw.Connection, message_id: str) -> str | None:
    """Return the user who sent a message of a chat, or None."""
    found = connection.execute(
        """
        SELECT json_extract(content, '$.senderId') FROM messages_in
        WHERE id = ? AND kind = 'chat' AND json_valid(content)
        """,
        (message_id,),
    ).fetchall()
    sender = found[0][0] if found else None
    return sender if isinstance(sender, str) else None


def json_array(values: Sequence[str]) -> str:
    """Return a JSON array for `json_each`, which lets one statement take any number of values."""
    return json.dumps(list(values))
