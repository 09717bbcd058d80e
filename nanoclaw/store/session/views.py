"""Reads session files for people: messages, tasks and their runs. All are functions of a connection.

Values that a container wrote are read as bytes and cut to a limit, as in `nanoclaw.store.session.outbound`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import apsw
from attrs import frozen

from nanoclaw.records import AGENT
from nanoclaw.store.engine.times import from_text
from nanoclaw.store.session.deliveries import IN_DOUBT
from nanoclaw.store.session.messages_in import json_array
from nanoclaw.store.session.outbound_tables import OutboundTables

SNIPPET = 200
"""Limit of a text in a list, in characters."""
LONGEST = 65_536
"""Limit of a text that a container wrote, in bytes."""
EVENTS = 4000
"""Number of the newest events of a runner that are searched for turns."""


@frozen
class TaskRow:
    """An open task: its next occurrence. `id` is its series."""

    id: str
    message_id: str
    status: str
    prompt: str
    next_run: datetime | None
    recurrence: str | None
    zone: str | None
    catch_up: str | None
    address: str | None
    created_at: datetime | None


@frozen
class Cause:
    """The message of another agent that a row of `messages_in` is."""

    session_id: str
    """The session that sent it."""
    message_out_id: str | None
    """The id of its delivery in that session."""
    causation_id: str | None
    """The id of the first message of the chain, in the session where the chain began."""
    hops: int
    """Number of times that the chain has gone from one agent to another."""


@frozen
class StoredMessage:
    """A row of `messages_in`."""

    id: str
    seq: int
    kind: str
    stored_at: datetime | None
    status: str
    tries: int
    due_at: datetime | None
    address: str | None
    sender: str | None
    text: str
    series_id: str | None = None
    slot: datetime | None = None
    cause: Cause | None = None
    """None if no other agent sent it."""


@frozen
class Delivered:
    """The state of a reply in the host's ledger."""

    message_out_id: str
    status: str
    attempts: int
    next_attempt: datetime | None
    error: str | None
    delivered_at: datetime | None
    platform_message_id: str | None
    doubtful: bool = False
    """True if it was sent, and nobody knows whether it arrived."""
    causation_id: str | None = None
    """The id of the first message of its chain."""
    hops: int | None = None
    """Number of times that the chain has gone from one agent to another, with this one."""


@frozen
class Claim:
    """The runner's claim or outcome of a message."""

    message_id: str
    status: str
    changed_at: datetime | None
    error: str | None
    turn_id: str | None


@frozen
class Reply:
    """A row that the agent sent in answer to a message."""

    id: str
    in_reply_to: str
    at: datetime | None
    text: str


@frozen
class ToAgent:
    """A row that the agent sent to another agent."""

    id: str
    turn_id: str
    agent_group_id: str
    at: datetime | None
    text: str


@frozen
class Turn:
    """One turn of the agent over some messages."""

    message_ids: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None


# -- inbound.db ----------------------------------------------------------------


def open_tasks(connection: apsw.Connection) -> list[TaskRow]:
    """Return the open tasks, each with its next occurrence; the next one comes first."""
    rows = connection.execute(
        """
        SELECT coalesce(series_id, id), id, status, substr(content, 1, 100000), process_after, recurrence,
          zone, catch_up, channel_type, platform_id, thread_id,
          coalesce((SELECT min(first.timestamp) FROM messages_in AS first
            WHERE first.series_id = messages_in.series_id), timestamp)
        FROM messages_in WHERE kind = 'task' AND status IN ('pending', 'paused') ORDER BY seq
        """
    )
    found = {str(row[0]): _task(row) for row in rows}  # the last row of a series is its next occurrence
    return sorted(found.values(), key=lambda task: (task.next_run is None, task.next_run, task.id))


def task_ids(connection: apsw.Connection, text: str) -> list[str]:
    """Return the ids of series, open or not, that begin with `text` or have a row with that id."""
    rows = connection.execute(
        """
        SELECT DISTINCT coalesce(series_id, id) FROM messages_in
        WHERE kind = 'task' AND (id = :text OR (coalesce(series_id, id) >= :text
          AND coalesce(series_id, id) < :text || char(1114111)))
        LIMIT 10
        """,
        {"text": text},
    )
    return [str(id_) for (id_,) in rows]


def task_rows(connection: apsw.Connection, series_id: str, limit: int) -> list[StoredMessage]:
    """Return the ended occurrences of a task, newest first, without moved ones."""
    return _messages(
        connection,
        """
        kind = 'task' AND coalesce(series_id, id) = :series AND status IN ('completed', 'failed')
        AND (slot IS NOT NULL OR series_id IS NULL)
        """,
        {"series": series_id, "limit": limit},
    )


def latest(connection: apsw.Connection, limit: int) -> list[StoredMessage]:
    """Return the newest messages from chats, newest first."""
    return _messages(connection, "kind NOT IN ('system', 'task')", {"limit": limit})


def with_ids(connection: apsw.Connection, text: str) -> list[StoredMessage]:
    """Return the messages whose id begins with `text`."""
    return _messages(connection, "id >= :text AND id < :text || char(1114111)", {"text": text, "limit": 10})


def _messages(
    connection: apsw.Connection, where: str, values: "Mapping[str, apsw.SQLiteValue]"
) -> list[StoredMessage]:
    rows = connection.execute(
        f"""
        SELECT id, seq, kind, timestamp, status, coalesce(tries, 0), process_after, channel_type, platform_id,
          thread_id,
          iif(json_valid(content), json_extract(content, '$.sender'), NULL),
          iif(json_valid(content),
            coalesce(json_extract(content, '$.text'), json_extract(content, '$.prompt'), content), content),
          coalesce(series_id, id), slot, source_session_id,
          iif(json_valid(content), json_extract(content, '$.id'), NULL), causation_id, hops
        FROM messages_in WHERE {where} ORDER BY seq DESC LIMIT :limit
        """,  # noqa: S608 -- constants of this module
        values,
    )
    return [_message(row) for row in rows]


def ledger(connection: apsw.Connection, ids: Sequence[str]) -> list[Delivered]:
    """Return the state of these replies in the ledger, by id."""
    rows = connection.execute(
        """
        SELECT d.message_out_id, coalesce(f.status, d.status), d.attempts, d.next_attempt, d.error,
          f.delivered_at, f.platform_message_id,
          coalesce(f.status = 'failed' AND d.error LIKE :in_doubt || '%', d.doubts > 0),
          d.causation_id, d.hops
        FROM deliveries d LEFT JOIN delivered f USING (message_out_id)
        WHERE d.message_out_id IN (SELECT value FROM json_each(:ids))
        """,
        {"ids": json_array(ids), "in_doubt": IN_DOUBT},
    )
    return [
        Delivered(
            str(id_),
            str(status),
            _number(attempts),
            _date(due),
            _text(error),
            _date(at),
            _text(platform),
            bool(doubtful),
            _text(cause),
            hops if isinstance(hops, int) else None,
        )
        for id_, status, attempts, due, error, at, platform, doubtful, cause, hops in rows
    ]


# -- outbound.db, which a container wrote --------------------------------------


def claims(connection: apsw.Connection, ids: Sequence[str]) -> list[Claim]:
    """Return the runner's claims and outcomes of these messages."""
    file = OutboundTables.of(connection)
    rows = file and file.connection.execute(
        file.sql(f"""
        SELECT {_brief("message_id")}, {_brief("status")}, {_brief("status_changed")}, {_brief("error")},
          {_brief("turn_id")}
        FROM processing_ack WHERE message_id IN (SELECT value FROM json_each(?)) LIMIT 1000
        """),  # noqa: S608 -- constants of this module
        (json_array(ids),),
    )
    found = [[_decoded(value) for value in row] for row in rows or ()]
    return [
        Claim(id_, status, _date(at), error, turn)
        for id_, status, at, error, turn in found
        if id_ is not None and status is not None
    ]


def replies(connection: apsw.Connection, ids: Sequence[str]) -> list[Reply]:
    """Return the rows that the agent sent in answer to these messages, in order."""
    rows = connection.execute(
        f"""
        SELECT {_brief("id")}, {_brief("in_reply_to")}, {_brief("timestamp")}, {_brief("content")}
        FROM messages_out WHERE in_reply_to IN (SELECT value FROM json_each(:ids)) ORDER BY seq LIMIT 1000
        """,  # noqa: S608 -- constants of this module
        {"ids": json_array(ids)},
    )
    found = [[_decoded(value) for value in row] for row in rows]
    return [
        Reply(id_, to, _date(at), _shown(content or ""))
        for id_, to, at, content in found
        if id_ is not None and to is not None
    ]


def to_agents(connection: apsw.Connection, turn_ids: Sequence[str]) -> list[ToAgent]:
    """Return the rows that the agent sent to other agents in these turns, in order."""
    file = OutboundTables.of(connection)
    rows = file and file.connection.execute(
        file.sql(f"""
        SELECT {_brief("id")}, {_brief("turn_id")}, {_brief("platform_id")}, {_brief("timestamp")},
          {_brief("content")}
        FROM messages_out
        WHERE channel_type = '{AGENT}' AND turn_id IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1000
        """),  # noqa: S608 -- constants of this module
        (json_array(turn_ids),),
    )
    found = [[_decoded(value) for value in row] for row in rows or ()]
    return [
        ToAgent(id_, turn, to or "", _date(at), _shown(content or ""))
        for id_, turn, to, at, content in found
        if id_ is not None and turn is not None
    ]


def turns(connection: apsw.Connection) -> list[Turn]:
    """Return the newest turns that the runner recorded, oldest first. Another build's runner records none."""
    file = OutboundTables.of(connection)
    rows = file and file.connection.execute(
        file.sql(f"""
        SELECT kind, {_brief("at")}, {_brief("data")} FROM events
        WHERE kind IN ('turn started', 'turn ended') ORDER BY id DESC LIMIT {EVENTS}
        """)  # noqa: S608 -- constants of this module
    )
    found = dict[str, Turn]()
    for kind, at, data in reversed(list(rows or ())):
        values = _object(_decoded(data))
        turn, date = str(values.get("turn_id")), _date(_decoded(at))
        if kind == "turn started":
            ids = values.get("messages")
            found[turn] = Turn(tuple(map(str, ids)) if isinstance(ids, list) else (), date, None)
        elif turn in found:
            found[turn] = Turn(found[turn].message_ids, found[turn].started_at, date)
    return list(found.values())


# -- values --------------------------------------------------------------------


def _task(row: Sequence[object]) -> TaskRow:
    series, id_, status, content, due, recurrence, zone, catch_up, *where, timestamp = row
    return TaskRow(
        id=str(series),
        message_id=str(id_),
        status=str(status),
        prompt=_shown(str(content)),
        next_run=_date(due),
        recurrence=_text(recurrence),
        zone=_text(zone),
        catch_up=_text(catch_up),
        address=_address(where),
        created_at=_date(timestamp),
    )


def _message(row: Sequence[object]) -> StoredMessage:
    id_, seq, kind, timestamp, status, tries, due, *where, sender, text, series, slot = row[:14]
    source, sent_as, chain, hops = row[14:]
    return StoredMessage(
        id=str(id_),
        seq=_number(seq),
        kind=str(kind),
        stored_at=_date(timestamp),
        status=str(status),
        tries=_number(tries),
        due_at=_date(due),
        address=_address(where),
        sender=_text(sender),
        text=_cut(str(text)),
        series_id=_text(series) if kind == "task" else None,
        slot=_date(slot),
        cause=Cause(str(source), _text(sent_as), _text(chain), _number(hops)) if source else None,
    )


def _address(where: Iterable[object]) -> str | None:
    channel, platform, thread = where
    if not channel or not platform:
        return None
    return f"{channel}:{platform}" + (f"/{thread}" if thread else "")


def _brief(name: str) -> str:
    return f"substr(CAST({name} AS BLOB), 1, {LONGEST})"


def _decoded(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None


def _text(value: object) -> str | None:
    return None if value is None else _cut(str(value))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _date(value: object) -> datetime | None:
    try:
        return from_text(str(value)) if value else None
    except ValueError:
        return None


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _shown(content: str) -> str:
    """Return the text of a content, or the whole content if it has no text."""
    values = _object(content)
    words = next((values[key] for key in ("text", "markdown", "prompt", "title") if values.get(key)), content)
    return _cut(str(words))


def _cut(text: str) -> str:
    return text if len(text) <= SNIPPET else f"{text[:SNIPPET]}…"
