"""Tasks: the rows of `messages_in` with kind `task`. Only the session actor writes them.

The id of any of its rows, or of its series, names a task. Its open rows are the next occurrence and, after an
outage, late ones. Only the last of them carries the recurrence.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

import apsw
from attrs import evolve, frozen

from nanoclaw.records import Address, CatchUp
from nanoclaw.records.content import dump_content
from nanoclaw.store.engine.times import from_text, to_text
from nanoclaw.store.session.messages_in import OpenMessage, Schedule, address_values, next_seq, schedule

_CATCH_UP: dict[object, CatchUp] = {"all": "all", "none": "none"}


@frozen
class NewTask:
    """A task to store: its first occurrence. `slot` is its scheduled time, before any delay."""

    id: str
    timestamp: datetime
    prompt: str
    slot: datetime
    address: Address | None = None
    """The address of its answer. None means the session's default."""
    script: str | None = None
    recurrence: str | None = None
    zone: str | None = None
    """IANA name of the time zone in which `recurrence` is read."""
    catch_up: CatchUp = "skip"


@frozen
class Occurrence:
    """A row of a task, with what scheduling and changes need."""

    message: OpenMessage
    paused: bool
    series_id: str
    slot: datetime
    recurrence: str | None
    zone: str | None
    catch_up: CatchUp
    content: str

    @property
    def id(self) -> str:
        """Return the id of its row."""
        return self.message.id

    @property
    def stored_at(self) -> datetime | None:
        """Return the date at which its row was stored."""
        return None if self.message.schedule is None else self.message.schedule.stored_at


class Changes(TypedDict, total=False):
    """Changeable fields of an open occurrence. Use `move` for its slot."""

    recurrence: str | None
    zone: str | None
    catch_up: CatchUp
    content: str


# -- reading -------------------------------------------------------------------


def named(connection: apsw.Connection, task_id: str) -> list[Occurrence]:
    """Return the open occurrences of the task with this row id or series id, next occurrence last."""
    return _occurrences(
        connection,
        """
        kind = 'task' AND status IN ('pending', 'paused') AND (
          id = :task OR series_id = :task OR series_id = (
            SELECT series_id FROM messages_in WHERE id = :task AND kind = 'task'
          )
        )
        """,
        {"task": task_id},
    )


def of_row(connection: apsw.Connection, message_id: str) -> Occurrence | None:
    """Return the occurrence in this row, open or not, or None if the row is not a task."""
    found = _occurrences(connection, "kind = 'task' AND id = :id", {"id": message_id})
    return found[0] if found else None


_UNTRIED = """
    kind = 'task' AND status IN ('pending', 'paused') AND status = 'pending' AND coalesce(tries, 0) = 0
    """
"""The condition of pending, untried occurrences. With `IN`, SQLite can use the index of open tasks."""


def overdue(connection: apsw.Connection, before: datetime) -> list[Occurrence]:
    """Return pending, untried occurrences that were due before `before` and must not run late."""
    found = _occurrences(connection, f"{_UNTRIED} AND catch_up = 'none'", {})
    return [each for each in found if each.message.process_after and each.message.process_after < before]


def misdated(connection: apsw.Connection, now: datetime) -> list[Occurrence]:
    """Return pending, untried occurrences of recurring tasks that were stored at a later date than `now`."""
    found = _occurrences(connection, f"{_UNTRIED} AND recurrence IS NOT NULL", {})
    return [
        each
        for each in found
        if each.stored_at is not None and each.stored_at > now and not each.message.due(now)
    ]


def count_open(connection: apsw.Connection) -> int:
    """Return the number of pending and paused occurrences."""
    count = connection.execute(
        "SELECT count(*) FROM messages_in WHERE kind = 'task' AND status IN ('pending', 'paused')"
    ).get
    return count if isinstance(count, int) else 0


def _occurrences(connection: apsw.Connection, where: str, values: Mapping[str, str]) -> list[Occurrence]:
    """Return the occurrences that match `where`, oldest first."""
    rows = connection.execute(
        f"""
        SELECT id, seq, coalesce(tries, 0), process_after, channel_type, platform_id, thread_id, timestamp,
          status, coalesce(series_id, id), slot, recurrence, zone, catch_up, content
        FROM messages_in WHERE {where} ORDER BY seq
        """,  # noqa: S608 -- constants of this module
        values,
    )
    return [_occurrence(row) for row in rows.fetchall()]


def _occurrence(row: Sequence[object]) -> Occurrence:
    id_, seq, tries, after, channel, platform, thread, timestamp = row[:8]
    status, series, slot, recurrence, zone, catch_up, content = row[8:]
    address = Address(str(channel), str(platform), str(thread) if thread else None)
    due = from_text(str(after)) if after else None
    message = OpenMessage(
        id=str(id_),
        seq=int(str(seq)),
        tries=int(str(tries)),
        process_after=due,
        trigger=True,
        address=address if channel and platform else None,
        platform_message_id=None,
        kind="task",
        expires=catch_up == "none",
        schedule=schedule(series, recurrence, zone, timestamp),
    )
    return Occurrence(
        message,
        paused=status == "paused",
        series_id=str(series),
        slot=from_text(str(slot))
        if slot
        else due or from_text(str(timestamp)),  # a row of another build has no slot
        recurrence=str(recurrence) if recurrence else None,
        zone=str(zone) if zone else None,
        catch_up=_CATCH_UP.get(catch_up, "skip"),
        content=str(content),
    )


# -- writing -------------------------------------------------------------------


def insert(connection: apsw.Connection, task: NewTask) -> OpenMessage | None:
    """Store a task, due at its slot. Return None if its id names a row or series already."""
    taken = "SELECT 1 FROM messages_in WHERE id = :id OR series_id = :id"
    if connection.execute(taken, {"id": task.id}).fetchone():
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
          :id, :seq, 'task', :timestamp, 'pending', :slot, :recurrence, :id, :platform_id, :channel_type,
          :thread_id, :content, :slot, :zone, :catch_up
        )
        """,
        {
            "id": task.id,
            "seq": seq,
            "timestamp": to_text(task.timestamp),
            "recurrence": task.recurrence,
            **address_values(address),
            "content": dump_content(content),
            "slot": to_text(task.slot),
            "zone": task.zone,
            "catch_up": task.catch_up,
        },
    )
    return OpenMessage(
        id=task.id,
        seq=seq,
        tries=0,
        process_after=task.slot,
        trigger=True,
        address=address,
        platform_message_id=None,
        kind="task",
        expires=task.catch_up == "none",
        schedule=Schedule(task.id, task.recurrence, task.zone, task.timestamp),
    )


def slot_taken(connection: apsw.Connection, series_id: str, slot: datetime) -> bool:
    """Return whether a slot of a series has a row already. So each slot fires at most once."""
    return bool(
        connection.execute(
            "SELECT EXISTS (SELECT 1 FROM messages_in WHERE series_id = :series AND slot = :slot)",
            {"series": series_id, "slot": to_text(slot)},
        ).get
    )


def repeat(  # noqa: PLR0913 -- the columns in which an occurrence differs from the one before
    connection: apsw.Connection, before: Occurrence, id_: str, slot: datetime, now: datetime, *, last: bool
) -> OpenMessage:
    """Store another occurrence of a series, paused if the one before is.

    If `last` is true, this row carries the recurrence.
    """
    seq = next_seq(connection)
    connection.execute(
        """
        INSERT INTO messages_in (
          id, seq, kind, timestamp, status, process_after, recurrence, series_id, platform_id, channel_type,
          thread_id, content, slot, zone, catch_up, source_session_id, causation_id, hops
        )
        SELECT :id, :seq, kind, :now, :status, :slot, iif(:last, :recurrence, NULL), :series, platform_id,
          channel_type, thread_id, content, :slot, zone, catch_up, source_session_id, causation_id, hops
        FROM messages_in WHERE id = :before
        """,
        {
            "id": id_,
            "seq": seq,
            "now": to_text(now),
            "status": _status(paused=before.paused),
            "slot": to_text(slot),
            "last": int(last),
            "recurrence": before.recurrence,
            "series": before.series_id,
            "before": before.id,
        },
    )
    schedule_ = Schedule(before.series_id, before.recurrence if last else None, before.zone, now)
    return evolve(before.message, id=id_, seq=seq, tries=0, process_after=slot, schedule=schedule_)


def clear_recurrence(connection: apsw.Connection, occurrence: Occurrence) -> None:
    """Remove the recurrence from an occurrence: the next row carries it, or the series has ended."""
    connection.execute(
        "UPDATE messages_in SET recurrence = NULL, series_id = :series WHERE id = :id",
        {"id": occurrence.id, "series": occurrence.series_id},
    )


def end(connection: apsw.Connection, occurrences: Iterable[Occurrence]) -> None:
    """End a task: complete its open occurrences, and schedule none."""
    for each in occurrences:
        connection.execute(
            "UPDATE messages_in SET status = 'completed', recurrence = NULL WHERE id = ?", (each.id,)
        )


def set_paused(connection: apsw.Connection, occurrences: Iterable[Occurrence], *, paused: bool) -> None:
    """Pause a task's open occurrences, so that no runner claims them, or resume them."""
    for each in occurrences:
        connection.execute(
            "UPDATE messages_in SET status = ? WHERE id = ?", (_status(paused=paused), each.id)
        )


def _status(*, paused: bool) -> str:
    return "paused" if paused else "pending"


def change(connection: apsw.Connection, occurrence: Occurrence, **changes: Unpack[Changes]) -> Occurrence:
    """Change an open occurrence and those that follow it."""
    changed = evolve(occurrence, **changes)
    schedule_ = Schedule(changed.series_id, changed.recurrence, changed.zone, changed.stored_at)
    message = evolve(changed.message, expires=changed.catch_up == "none", schedule=schedule_)
    changed = evolve(changed, message=message)
    connection.execute(
        """
        UPDATE messages_in SET recurrence = :recurrence, zone = :zone, catch_up = :catch_up,
          content = :content, series_id = :series
        WHERE id = :id
        """,
        {
            "id": changed.id,
            "recurrence": changed.recurrence,
            "zone": changed.zone,
            "catch_up": changed.catch_up,
            "content": changed.content,
            "series": changed.series_id,
        },
    )
    return changed


def move(
    connection: apsw.Connection, occurrence: Occurrence, id_: str, slot: datetime, now: datetime
) -> OpenMessage:
    """Replace an open occurrence by a row at another slot. The old slot becomes free.

    The old row stays with its due time, because a runner may be about to claim it.
    """
    moved = repeat(connection, occurrence, id_, slot, now, last=True)
    end(connection, [occurrence])
    connection.execute("UPDATE messages_in SET slot = NULL WHERE id = ?", (occurrence.id,))
    return moved
