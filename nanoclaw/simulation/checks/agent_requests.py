"""Checks that agents receive messages unchanged and that their requests are performed as made."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from nanoclaw.records import SessionPaths
from nanoclaw.records.content import storable
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.store.engine.times import from_text
from nanoclaw.testing.invariants import rows


def agents_hear_what_was_said(snapshot: Snapshot) -> Iterator[str]:
    """A turn has each message with the text and the sender that the network offered."""
    for paths in snapshot.sessions():
        for event in snapshot.events(paths):
            said = (storable(event.message.text), event.message.sender_id)
            heard = snapshot.heard.get(event.message_id, said)
            if heard != said:
                yield f"{paths.root.name}: {event.event_id} reached the agent as {heard}, not as {said}"


def completed_messages_were_heard(snapshot: Snapshot) -> Iterator[str]:
    """A message, also a context message, is completed only after an agent has received it."""
    sql = "SELECT id FROM messages_in WHERE kind = 'chat' AND status = 'completed'"
    for paths in snapshot.sessions():
        for (id_,) in rows(paths.inbound_db, sql):
            if id_ not in snapshot.heard:
                yield f"{paths.root.name}: {id_} is completed, but no agent has received it"


_ONCE = """
    SELECT content, count(*) AS n FROM messages_out
    WHERE json_extract(content, '$.operation') IS NOT NULL
    GROUP BY content HAVING n > 1
    UNION ALL
    SELECT json_extract(content, '$.prompt') AS prompt, count(*) AS n FROM messages_out
    WHERE kind = 'system' AND json_extract(content, '$.action') = 'schedule_task'
    GROUP BY prompt HAVING n > 1
    """


def requests_are_made_once(snapshot: Snapshot) -> Iterator[str]:
    """A repeated turn does not request its edits, reactions and tasks a second time."""
    for paths in snapshot.sessions():
        for what, n in rows(paths.outbound_db, _ONCE):
            yield f"{paths.root.name}: {what} was requested {n} times"


# -- tasks ---------------------------------------------------------------------


@frozen
class Task:
    """A task as the agent requested it."""

    prompt: str
    recurrence: str | None
    zone: str
    catch_up: str


_DONE = """
    SELECT json_extract(content, '$.requestId'), json_extract(content, '$.action'),
      json_extract(content, '$.result.taskId'), json_extract(content, '$.result.nextRun')
    FROM messages_in WHERE kind = 'system' AND json_extract(content, '$.status') = 'completed' ORDER BY seq
    """
_REQUESTS = "SELECT id, content FROM messages_out WHERE kind = 'system'"
_OPEN = """
    SELECT series_id, json_extract(content, '$.prompt'), recurrence, coalesce(zone, :zone),
      coalesce(catch_up, 'skip')
    FROM messages_in WHERE kind = 'task' AND status IN ('pending', 'paused') ORDER BY seq
    """


def tasks_are_as_they_were_asked_for(snapshot: Snapshot) -> Iterator[str]:
    """A recurring task recurs until the agent ends it, with the settings that the agent gave last."""
    for paths in snapshot.sessions():
        open_ = {
            series: Task(*columns) for series, *columns in rows(paths.inbound_db, _OPEN, zone=snapshot.zone)
        }
        for series, task in _asked_for(paths, snapshot.zone).items():
            if task.recurrence and series not in open_:
                yield f"{paths.root.name}: {series} recurs at {task.recurrence!r}, but has no open row"
            elif task.recurrence and open_[series] != task:
                yield f"{paths.root.name}: {series} was requested as {task}, but is {open_[series]}"


@frozen
class Done:
    """A performed request, its task, and the next run of that task."""

    action: str
    series: str
    next_run: str | None
    request: Mapping[str, Any] | None
    """The request's content; None if the runner has pruned it."""


def _done(paths: SessionPaths) -> Iterator[Done]:
    done = rows(paths.inbound_db, _DONE)
    requests = dict(rows(paths.outbound_db, _REQUESTS)) if done else {}
    for id_, action, series, next_run in done:
        yield Done(action, series, next_run, json.loads(requests[id_]) if id_ in requests else None)


def _asked_for(paths: SessionPaths, zone: str) -> Mapping[str, Task]:
    """Return the open tasks whose requests are all still in the runner's file."""
    asked, unknown = dict[str, Task](), set[str]()
    for each in _done(paths):
        if each.request is None:
            unknown.add(each.series)
        elif each.action == "schedule_task":
            asked[each.series] = _changed(Task("", None, zone, "skip"), each.request)
        elif each.action == "update_task" and each.series in asked:
            asked[each.series] = _changed(asked[each.series], each.request)
        elif each.action == "cancel_task":
            asked.pop(each.series, None)
    return {series: task for series, task in asked.items() if series not in unknown}


def _changed(task: Task, request: Mapping[str, Any]) -> Task:
    names = {"prompt": "prompt", "zone": "zone", "catch_up": "catchUp"}
    changes = {name: request[key] for name, key in names.items() if request.get(key)}
    if request.get("recurrence") is not None:
        changes["recurrence"] = request["recurrence"] or None
    return evolve(task, **changes)


_EARLY = """
    SELECT id, slot, process_after FROM messages_in
    WHERE kind = 'task' AND unixepoch(process_after, 'subsec') < unixepoch(slot, 'subsec')
      AND coalesce(tries, 0) = 0
    """


def nothing_is_due_before_its_time(snapshot: Snapshot) -> Iterator[str]:
    """A task is due at its slot or later. Its first run is at the time that the agent requested.

    A run that began while the date was ahead is tried again before its slot.
    """
    for paths in snapshot.sessions():
        for id_, slot, due in rows(paths.inbound_db, _EARLY):
            yield f"{paths.root.name}: {id_} has the slot {slot}, but is due at {due}"
        for each in _done(paths):
            wanted = each.request if each.action == "schedule_task" and each.request else {}
            at = wanted.get("processAfter")
            if at and not wanted.get("recurrence") and from_text(at) != from_text(str(each.next_run)):
                yield f"{paths.root.name}: {each.series} was requested for {at}, but runs at {each.next_run}"
