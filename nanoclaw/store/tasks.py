"""Tasks: the rows of `messages_in` with kind `task`. The session actor alone calls what writes.

A task is named by the id of any of its rows or by its series. Its open row is its next occurrence.
"""

import json
from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.records import Address, CatchUp
from nanoclaw.store.messages_in import OpenMessage, as_open, next_seq
from nanoclaw.store.times import to_text


@frozen
class NewTask:
    """A task to store: its first occurrence. `slot` is the moment it stands for, before any delay."""

    id: str
    timestamp: datetime
    prompt: str
    slot: datetime
    address: Address | None = None
    """Where its answer goes; None: the session's default."""
    script: str | None = None
    recurrence: str | None = None
    zone: str | None = None
    """An IANA name, in which `recurrence` is read."""
    catch_up: CatchUp = "skip"
    series_id: str | None = None
    """None: a series of its own."""


def insert(connection: apsw.Connection, task: NewTask) -> OpenMessage | None:
    """Store a task, due at its slot; None if it is stored already: the id, or the slot of its series."""
    series, slot = task.series_id or task.id, to_text(task.slot)
    if connection.execute(
        "SELECT 1 FROM messages_in WHERE id = :id OR (series_id = :series AND slot = :slot)",
        {"id": task.id, "series": series, "slot": slot},
    ).fetchone():
        return None
    seq, address = next_seq(connection), task.address
    content = {"prompt": task.prompt} | ({} if task.script is None else {"script": task.script})
    connection.execute(
        """
        INSERT INTO messages_in (
          id, seq, kind, timestamp, status, process_after, recurrence, series_id, platform_id, channel_type,
          thread_id, content, slot, zone, catch_up
        )
        VALUES (
          :id, :seq, 'task', :timestamp, 'pending', :slot, :recurrence, :series, :platform_id, :channel_type,
          :thread_id, :content, :slot, :zone, :catch_up
        )
        """,
        {
            "id": task.id,
            "seq": seq,
            "timestamp": to_text(task.timestamp),
            "recurrence": task.recurrence,
            "series": series,
            "platform_id": address.platform_id if address else None,
            "channel_type": address.channel_type if address else None,
            "thread_id": address.thread_id if address else None,
            "content": json.dumps(content, ensure_ascii=False),
            "slot": slot,
            "zone": task.zone,
            "catch_up": task.catch_up,
        },
    )
    return OpenMessage(task.id, seq, 0, task.slot, trigger=True, address=address, platform_message_id=None)


def cancel(connection: apsw.Connection, task_id: str) -> list[str]:
    """End a task: what is open of it is completed, and nothing follows. Returns the ids of these rows."""
    found = connection.execute(
        """
        UPDATE messages_in SET status = 'completed', recurrence = NULL
        WHERE kind = 'task' AND status IN ('pending', 'paused')
          AND (id = :task OR series_id = :task OR series_id = (
            SELECT series_id FROM messages_in WHERE id = :task AND kind = 'task'
          ))
        RETURNING id
        """,
        {"task": task_id},
    )
    return sorted(str(id_) for (id_,) in found)


def pause(connection: apsw.Connection, task_id: str) -> list[str]:
    """Let a task rest: nobody takes what is open of it. Returns the ids of these rows."""
    found = connection.execute(
        """
        UPDATE messages_in SET status = 'paused'
        WHERE kind = 'task' AND status = 'pending'
          AND (id = :task OR series_id = :task OR series_id = (
            SELECT series_id FROM messages_in WHERE id = :task AND kind = 'task'
          ))
        RETURNING id
        """,
        {"task": task_id},
    )
    return sorted(str(id_) for (id_,) in found)


def resume(connection: apsw.Connection, task_id: str) -> list[OpenMessage]:
    """Let a paused task go on; what became due meanwhile is due now. Returns what is open again."""
    found = connection.execute(
        """
        UPDATE messages_in SET status = 'pending'
        WHERE kind = 'task' AND status = 'paused'
          AND (id = :task OR series_id = :task OR series_id = (
            SELECT series_id FROM messages_in WHERE id = :task AND kind = 'task'
          ))
        RETURNING id, seq, coalesce(tries, 0), process_after, trigger, channel_type, platform_id, thread_id,
          NULL
        """,
        {"task": task_id},
    )
    return sorted((as_open(row) for row in found), key=lambda message: message.seq)
