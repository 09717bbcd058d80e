"""Checks of schedules: the slots of tasks, late runs, and stopped tasks."""

import json
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from attrs import frozen

from nanoclaw.records import SessionPaths
from nanoclaw.simulation.network import ROUNDING_S
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.store.engine.times import from_text
from nanoclaw.testing.invariants import (
    rows,
)

ALIASES = {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}
EVERY = "@every "
FIELDS = 5
TICK = timedelta(seconds=1)


@frozen
class Run:
    """An occurrence of a task, with the time at which it was stored."""

    id: str
    slot: str
    stored: str


def slots_fit_their_schedules(snapshot: Snapshot) -> Iterator[str]:
    """Each slot of a series fits its schedule in the task's zone."""
    sql = """
        SELECT series_id, slot, recurrence, coalesce(zone, :zone)
        FROM messages_in WHERE kind = 'task' AND slot IS NOT NULL ORDER BY series_id, slot
        """
    for paths in snapshot.sessions():
        first = dict[str, datetime]()
        for series, text, recurrence, zone in rows(paths.inbound_db, sql, zone=snapshot.zone):
            slot = from_text(text)
            began = first.setdefault(series, slot)
            if recurrence and not fits(recurrence, slot, began, ZoneInfo(zone)):
                shown = f"{slot.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} in {zone}"
                yield f"{paths.root.name}: {series} recurs at {recurrence!r} and has the slot {text}, {shown}"


def fits(recurrence: str, slot: datetime, began: datetime, zone: ZoneInfo) -> bool:
    """Return whether a moment is a slot of a schedule. Schedules that workloads do not use always fit."""
    if recurrence.startswith(EVERY):
        off = (slot - began).total_seconds() % float(recurrence.removeprefix(EVERY))
        return min(off, float(recurrence.removeprefix(EVERY)) - off) < ROUNDING_S
    fields = ALIASES.get(recurrence, recurrence).split()
    if len(fields) != FIELDS or fields[2:] != ["*"] * 3:
        return True
    shown = slot.astimezone(zone)
    there = shown.second == 0 and _shows(fields, shown)
    if any(field.startswith("*") for field in fields[:2]):
        return there
    return shown.fold == 0 if there else _jumps_over(fields, slot, zone)


def _shows(fields: Sequence[str], wall: datetime) -> bool:
    return all(_is(field, value) for field, value in zip(fields, (wall.minute, wall.hour), strict=False))


def _is(field: str, value: int) -> bool:
    if field.startswith("*"):
        return value % int(field.partition("/")[2] or 1) == 0
    return int(field) == value


def _jumps_over(fields: Sequence[str], slot: datetime, zone: ZoneInfo) -> bool:
    """Return whether the wall clock skips a scheduled time at that moment."""
    wall = (slot - TICK).astimezone(zone).replace(tzinfo=None) + TICK
    now = slot.astimezone(zone).replace(tzinfo=None)
    minutes = range(int((now - wall) / timedelta(minutes=1)))
    return any(_shows(fields, wall + timedelta(minutes=n)) for n in minutes)


_SLOTS = """
    SELECT series_id, content LIKE '%again=%', id, slot, timestamp FROM messages_in
    WHERE kind = 'task' AND slot IS NOT NULL AND coalesce(catch_up, 'skip') = 'skip' ORDER BY seq
    """


def an_outage_has_one_late_run(snapshot: Snapshot) -> Iterator[str]:
    """With `skip`, one late run replaces all missed slots. Tasks that move themselves are exempt."""
    for paths in snapshot.sessions():
        series = defaultdict[str, list[Run]](list)
        moved = set[str]()
        for task, moves, *columns in rows(paths.inbound_db, _SLOTS):
            series[task].append(Run(*columns))
            moved |= {task} if moves else set()
        begun = _begun(paths) if any(len(runs) > 1 for runs in series.values()) else {}
        for task, before, run in _successions(series, moved):
            # Changing a task at work stores its next run at once. A later try may begin after that.
            since = max((at for at in begun.get(before.id, ()) if at <= run.stored), default="")
            if run.slot < since:
                late = f"has the slot {run.slot}, but the previous run began at {since}"
                yield f"{paths.root.name}: {run.id} of {task} {late}"


def _successions(
    series: Mapping[str, Sequence[Run]], moved: Container[str]
) -> Iterator[tuple[str, Run, Run]]:
    for task, runs in series.items():
        if task not in moved:
            yield from ((task, one, two) for one, two in pairwise(runs))


def _begun(paths: SessionPaths) -> Mapping[str, Sequence[str]]:
    """Return the times at which each message's turns began."""
    begun = defaultdict[str, list[str]](list)
    found = rows(paths.outbound_db, "SELECT at, data FROM events WHERE kind = 'turn started' ORDER BY id")
    for at, data in found:
        for id_ in json.loads(data or "{}").get("messages", ()):
            begun[id_].append(at)
    return begun


_ANSWERS = """
    SELECT seq, json_extract(content, '$.action'), json_extract(content, '$.result.taskId') FROM messages_in
    WHERE kind = 'system' AND json_extract(content, '$.status') = 'completed' ORDER BY seq
    """
_TASKS = "SELECT coalesce(series_id, id), id, seq, status FROM messages_in WHERE kind = 'task'"
STOPPING = {"cancel_task": ("pending", "paused"), "pause_task": ("pending",), "resume_task": ()}
"""The statuses that no row of a task has after the agent was told of the change."""


def stopped_tasks_do_not_run(snapshot: Snapshot) -> Iterator[str]:
    """A cancelled task has no open and no new rows. A paused task has no pending row."""
    for paths in snapshot.sessions():
        said = {
            task: (seq, action)
            for seq, action, task in rows(paths.inbound_db, _ANSWERS)
            if action in STOPPING
        }
        for series, id_, seq, status in rows(paths.inbound_db, _TASKS) if said else ():
            since, action = said.get(series, (0, "resume_task"))
            if status in STOPPING[action] or (action == "cancel_task" and seq > since):
                yield f"{paths.root.name}: {action} of {series} was completed, but {id_} is {status}"


LATE_S = 1800.0


def due_tasks_have_run(snapshot: Snapshot) -> Iterator[str]:
    """At rest no task has been due for more than `LATE_S`."""
    sql = """
        SELECT id, process_after FROM messages_in WHERE kind = 'task' AND status = 'pending'
          AND unixepoch(process_after) < unixepoch(:now) - :late
        """
    for paths in snapshot.sessions():
        for id_, due in rows(paths.inbound_db, sql, now=snapshot.now, late=LATE_S):
            yield f"{paths.root.name}: {id_} was due at {due}, but has not run by {snapshot.now}"
