"""Requests about tasks, which a session performs itself. Plain functions of a connection (contract 5)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve

from nanoclaw.records import CatchUp
from nanoclaw.records.content import dump_content, load_request, storable
from nanoclaw.registry import ActionRefused
from nanoclaw.scheduling import check, due_slots, next_run, period
from nanoclaw.session import recurrence
from nanoclaw.session.requests import ActionContext, ActionResult, RequestFields
from nanoclaw.store import Connection
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session import tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.tasks import NewTask, Occurrence

MAX_TASKS = 1000
"""Limit of open tasks in one session."""
MIN_CATCH_UP_INTERVAL = timedelta(minutes=1)
"""Shortest interval of a schedule with `catchUp: "all"`."""
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
"""Start of the check of an interval. It is fixed, so that the result does not depend on the date."""
TASK = "task-"
"""Prefix of the ids of tasks. It keeps them apart from the ids of future messages."""

Action = Callable[[Connection, RequestFields, ActionContext], ActionResult]


def _schedule(connection: Connection, request: RequestFields, context: ActionContext) -> ActionResult:
    prompt, recurs = request.prompt(), request.recurrence()
    zone, start = request.text("zone") or context.zone, request.moment("processAfter", context.now)
    if prompt is None:
        raise ActionRefused("prompt is missing")
    check(recurs or "@daily", zone)
    if start is None and recurs is None:
        raise ActionRefused("processAfter and recurrence are missing; give at least one")
    catch_up = request.catch_up() or "skip"
    start = _first(start, recurs, zone, catch_up, context.now)
    _check_not_missed(start, recurs, catch_up, context.now)
    _check_backlog(recurs, zone, catch_up)
    if tasks.count_open(connection) >= MAX_TASKS:
        raise ActionRefused(f"there are {MAX_TASKS} open tasks; cancel some first")
    stored = tasks.insert(
        connection,
        NewTask(
            id=_new_id(request),
            timestamp=context.now,
            prompt=prompt,
            slot=start,
            address=request.row.address,
            script=request.prompt("script"),
            recurrence=recurs,
            zone=zone,
            catch_up=catch_up,
        ),
    )
    if stored is None:
        raise ActionRefused("a task with this taskId exists already; choose another taskId")
    return ActionResult({"taskId": stored.id, "nextRun": to_text(start), "zone": zone}, opened=[stored])


def _first(
    start: datetime | None, recurs: str | None, zone: str, catch_up: CatchUp, now: datetime
) -> datetime:
    """Return the first slot. A series that starts in the past begins late, with its latest past slot.

    With catch-up `none` it begins with its next slot.
    """
    if recurs is None:
        return start or now
    if start is None:
        return next_run(recurs, now, zone)
    if start >= now:
        return start
    due = due_slots(recurs, start, now, zone, "none" if catch_up == "none" else "skip")
    return due.next if catch_up == "none" else (*due.run, start)[0]


def _check_backlog(recurs: str | None, zone: str, catch_up: CatchUp) -> None:
    """Refuse `catchUp: "all"` for short intervals: a week of outage leaves at most ten thousand slots."""
    if recurs is None or catch_up != "all":
        return
    if period(recurs, _ANY_TIME, zone) < MIN_CATCH_UP_INTERVAL:
        raise ActionRefused("catchUp all needs a recurrence that fires at most once a minute")


def _check_not_missed(slot: datetime, recurs: str | None, catch_up: CatchUp, now: datetime) -> None:
    """Refuse a task that would never run: its only time is missed, and it must not run late."""
    if recurrence.never_runs(slot, recurs, catch_up, now):
        raise ActionRefused(
            f"the time {to_text(slot)} is past, and with catch-up none the task never runs late; "
            "choose a later time, or catch-up skip"
        )


def _new_id(request: RequestFields) -> str:
    id_ = request.text("taskId") or f"{TASK}{request.row.id}"[:128]
    if not id_.startswith(TASK) or not is_component(id_):
        raise ActionRefused(
            f"taskId must begin with {TASK!r} and have at most 128 letters, digits, '.', '_' or '-', "
            f"got {id_!r:.140}"
        )
    return id_


def _cancel(connection: Connection, request: RequestFields, _context: ActionContext) -> ActionResult:
    found = request.task(connection)
    tasks.end(connection, found)
    return ActionResult({"taskId": found[-1].series_id}, closed=[each.id for each in found])


def _pause(connection: Connection, request: RequestFields, _context: ActionContext) -> ActionResult:
    found = request.task(connection)
    tasks.set_paused(connection, found, paused=True)
    return ActionResult({"taskId": found[-1].series_id}, closed=[each.id for each in found])


def _resume(connection: Connection, request: RequestFields, context: ActionContext) -> ActionResult:
    found = [each for each in request.task(connection) if each.paused]
    if not found:
        raise ActionRefused("the task is not paused")
    _check_not_missed(found[-1].slot, found[-1].recurrence, found[-1].catch_up, context.now)
    opened = recurrence.resume(connection, found, context.now, context.zone)
    return ActionResult(
        {"taskId": found[-1].series_id, "nextRun": _next(opened), "zone": found[-1].zone}, opened=opened
    )


def _next(opened: Sequence[OpenMessage]) -> str | None:
    due = [message.process_after for message in opened if message.process_after]
    return to_text(min(due)) if due else None


def _update(connection: Connection, request: RequestFields, context: ActionContext) -> ActionResult:
    """Change the task. An occurrence that the runner works on continues; the changed one follows it."""
    *late, occurrence = request.task(connection)
    changes = _changes(request, occurrence)
    slot = _slot(connection, request, occurrence, changes, context)
    changed = tasks.change(connection, occurrence, **changes)
    for each in late:
        tasks.change(connection, each, content=changed.content)
    message, closed = changed.message, list[str]()
    if slot is not None and slot != occurrence.slot:
        message, closed = _moved(connection, changed, slot, request, context)
    result = {
        "taskId": changed.series_id,
        "nextRun": None if message.due(context.now) else _next([message]),
        "zone": changed.zone or context.zone,
        "changed": _changed_keys(occurrence, changed, slot),
    }
    return ActionResult(result, [] if changed.paused else [message], closed)


def _changed_keys(before: Occurrence, after: Occurrence, slot: datetime | None) -> list[str]:
    """Return the keys of a request whose values are different now."""
    old, new = load_request(before.content), load_request(after.content)
    pairs = {
        **{key: (old.get(key), new.get(key)) for key in ("prompt", "script")},
        "processAfter": (before.slot, slot or before.slot),
        "recurrence": (before.recurrence, after.recurrence),
        "zone": (before.zone, after.zone),
        "catchUp": (before.catch_up, after.catch_up),
    }
    return [key for key, (was, is_) in pairs.items() if was != is_]


def _moved(
    connection: Connection,
    occurrence: Occurrence,
    slot: datetime,
    request: RequestFields,
    context: ActionContext,
) -> tuple[OpenMessage, list[str]]:
    """Return the row for the new slot, and the ids of the rows that it replaces."""
    id_ = recurrence.row_id(occurrence.series_id, slot, request.row.id)
    if occurrence.id not in context.claimed:
        return tasks.move(connection, occurrence, id_, slot, context.now), [occurrence.id]
    tasks.clear_recurrence(connection, occurrence)
    return tasks.repeat(connection, occurrence, id_, slot, context.now, last=True), []


def _changes(request: RequestFields, occurrence: Occurrence) -> tasks.Changes:
    changes: tasks.Changes = {}
    if (content := _changed_content(request, occurrence)) is not None:
        changes["content"] = content
    if "recurrence" in request.values:
        changes["recurrence"] = request.recurrence()
    if zone := request.text("zone"):
        changes["zone"] = zone
    if catch_up := request.catch_up():
        changes["catch_up"] = catch_up
    return changes


def _changed_content(request: RequestFields, occurrence: Occurrence) -> str | None:
    """Return the content with the new prompt and script, or None if both stay.

    A script that is null or empty removes it.
    """
    removes = "script" in request.values and not request.text("script")
    texts = {"prompt": request.prompt(), "script": None if removes else request.prompt("script")}
    new = {key: text for key, text in texts.items() if text is not None}
    if not new and not removes:
        return None
    content = {**load_request(occurrence.content), **new}
    if removes:
        content.pop("script", None)
    return storable(dump_content(content))  # the old content may be another build's


def _slot(
    connection: Connection,
    request: RequestFields,
    occurrence: Occurrence,
    changes: tasks.Changes,
    context: ActionContext,
) -> datetime | None:
    """Return the next slot of the changed task, or None if the slot stays."""
    changed = evolve(occurrence, **changes)
    zone = changed.zone or context.zone
    check(changed.recurrence or "@daily", zone)
    _check_backlog(changed.recurrence, zone, changed.catch_up)
    start = request.moment("processAfter", context.now)
    if start is not None or occurrence.id not in context.claimed:
        _check_not_missed(start or occurrence.slot, changed.recurrence, changed.catch_up, context.now)
    if start is not None:
        start = _first(start, changed.recurrence, zone, changed.catch_up, context.now)
    elif changed.recurrence and {"recurrence", "zone"} & changes.keys():
        start = next_run(changed.recurrence, context.now, zone)
        return start if start == occurrence.slot else recurrence.free_slot(connection, changed, start, zone)
    if start and start != occurrence.slot and tasks.slot_taken(connection, changed.series_id, start):
        raise ActionRefused("the task has run for that time already; choose another processAfter")
    return start


TASK_ACTIONS: Mapping[str, Action] = {
    "schedule_task": _schedule,
    "cancel_task": _cancel,
    "pause_task": _pause,
    "resume_task": _resume,
    "update_task": _update,
}
