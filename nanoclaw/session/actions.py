"""Requests of an agent to its own session: rows of kind `system` (contract 5).

One transaction performs the action, makes its delivery final and stores its answer. So it runs once
(contract 4, Delivery). These are plain functions of a connection. Everything in a request may be hostile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import structlog
from attrs import evolve, field, frozen

from nanoclaw.records import CatchUp, answer_id
from nanoclaw.records.content import BadContent, dump_content, load_request, storable
from nanoclaw.registry import ActionRefused
from nanoclaw.scheduling import ScheduleError, check, due_slots, next_run
from nanoclaw.session import recurrence
from nanoclaw.store import Connection
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.engine.times import from_text, to_text
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.tasks import NewTask, Occurrence

MAX_TASKS = 1000
"""Limit of open tasks in one session."""
MIN_CATCH_UP_INTERVAL = timedelta(minutes=1)
"""Shortest interval of a schedule with `catchUp: "all"`."""
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
"""Start of the check of an interval. It is fixed, so that the result does not depend on the date."""
MAX_PROMPT = 100_000
"""Limit of a prompt or script in characters."""
TASK = "task-"
"""Prefix of the ids of tasks. It keeps them apart from the ids of future messages."""
_CATCH_UP: Mapping[str, CatchUp] = {"skip": "skip", "all": "all", "none": "none"}

_log = structlog.get_logger()


@frozen
class ActionContext:
    """The time, zone and session state that an action depends on."""

    now: datetime
    zone: str
    """The user's time zone, for schedules without one."""
    claimed: frozenset[str] = frozenset()
    """Ids of the messages that the runner works on. Their due times must not change."""
    host_actions: frozenset[str] = frozenset()
    """Names of the requests that the host performs."""


@frozen
class ActionResult:
    """The result of an action for its answer, and the messages that it opened and closed."""

    result: Mapping[str, object]
    opened: Sequence[OpenMessage] = ()
    closed: Sequence[str] = ()
    """Ids of messages that are not open any more."""


@frozen
class AnsweredAction:
    """An action whose answer is stored. `error` says why it was refused."""

    opened: Sequence[OpenMessage]
    """New or changed messages, including the answer."""
    closed: Sequence[str] = ()
    error: str | None = None


def perform(connection: Connection, row: MessageOut, context: ActionContext) -> AnsweredAction | None:
    """Perform the request in a row and store the answer. A refusal is an answer, too, and wakes the agent.

    Return None, and change nothing, if the host performs this request.
    """
    values: Mapping[str, object] = {}
    try:
        values = load_request(row.content)
        if values.get("action") in context.host_actions:
            return None
        request = RequestFields(values, row)
        with _savepoint(connection):
            result = _action(request, context)(connection, request, context)
    except (ActionRefused, BadContent, ScheduleError) as error:
        _log.info("action.refused", request=row.id, reason=str(error))
        answer = store_answer(connection, row, context.now, _name(values), {"error": str(error)}, failed=True)
        return AnsweredAction(answer, error=str(error))
    answer = store_answer(connection, row, context.now, _name(values), result.result, failed=False)
    return AnsweredAction([*result.opened, *answer], result.closed)


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """Run the block in a savepoint, so that a refused action changes nothing."""
    with connection:
        yield


def store_answer(  # noqa: PLR0913 -- the parts of an answer
    connection: Connection,
    row: MessageOut,
    now: datetime,
    action: str | None,
    result: Mapping[str, object],
    *,
    failed: bool,
) -> list[OpenMessage]:
    """Store the answer to a request. A failure wakes the agent.

    Return no message if it is stored already, or if nothing waits for it. Foreign runners never ack such
    rows, and take only the newest few rows, so these would hide the messages of users.
    """
    if not row.awaited:
        return []
    status = "failed" if failed else "completed"
    content = {"action": action, "status": status, "result": result, "requestId": row.id}
    answer = messages_in.insert(
        connection,
        NewMessage(
            id=answer_id(row.id),
            kind="system",
            timestamp=now,
            address=row.address,
            content=dump_content(content),
            trigger=failed,
        ),
    )
    return [] if answer is None else [answer]


def _name(values: Mapping[str, object]) -> str | None:
    name = values.get("action")
    return storable(name[:100]) if isinstance(name, str) else None


# -- the fields of a request -------------------------------------------------------


@frozen
class RequestFields:
    """The content of a request, read field by field. A refusal names the field that is missing or wrong."""

    values: Mapping[str, object] = field(repr=False)
    row: MessageOut = field(repr=False)

    def text(self, key: str) -> str | None:
        """Return an optional string."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise ActionRefused(f"{key} must be a string")
        return storable(value)

    def needed(self, key: str) -> str:
        """Return a required string."""
        value = self.text(key)
        if not value or not value.strip():
            raise ActionRefused(f"{key} is missing")
        return value

    def moment(self, key: str) -> datetime | None:
        """Return an optional time."""
        value = self.text(key)
        try:
            return from_text(value) if value else None
        except ValueError as error:
            raise ActionRefused(
                f"{key} must be a time such as 2026-01-31T09:00:00Z, got {value!r:.60}"
            ) from error

    def prompt(self, key: str = "prompt") -> str | None:
        """Return an optional prompt or script."""
        value = self.text(key)
        if value is not None and not 0 < len(value.strip()) <= MAX_PROMPT:
            raise ActionRefused(f"{key} must have 1 to {MAX_PROMPT:,} characters that are not all blank")
        return value

    def catch_up(self) -> CatchUp | None:
        """Return the optional policy for missed slots."""
        value = self.text("catchUp")
        if value is not None and value not in _CATCH_UP:
            raise ActionRefused(f"catchUp must be one of {', '.join(_CATCH_UP)}, got {value!r:.60}")
        return None if value is None else _CATCH_UP[value]

    def task(self, connection: Connection) -> list[Occurrence]:
        """Return the open occurrences of the task that the request names."""
        task_id = self.needed("taskId")
        found = tasks.named(connection, task_id)
        if not found:
            raise ActionRefused(f"there is no open task {task_id!r:.140}")
        return found


# -- the actions ---------------------------------------------------------------


def _schedule(connection: Connection, request: RequestFields, context: ActionContext) -> ActionResult:
    prompt, recurs = request.prompt(), request.text("recurrence") or None
    zone, start = request.text("zone") or context.zone, request.moment("processAfter")
    if prompt is None:
        raise ActionRefused("prompt is missing")
    check(recurs or "@daily", zone)
    if start is None and recurs is None:
        raise ActionRefused("processAfter and recurrence are missing; give at least one")
    catch_up = request.catch_up() or "skip"
    start = _first(start, recurs, zone, catch_up, context.now)
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
    """Return the first slot. If the series starts in the past, only the latest past slot may run late."""
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
    if recurs is not None and catch_up == "all":
        first = next_run(recurs, _ANY_TIME, zone)
        if next_run(recurs, first, zone) - first < MIN_CATCH_UP_INTERVAL:
            raise ActionRefused("catchUp all needs a recurrence that fires at most once a minute")


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
    next_run_ = None if message.due(context.now) else _next([message])
    result = {"taskId": changed.series_id, "nextRun": next_run_, "zone": changed.zone or context.zone}
    return ActionResult(result, [] if changed.paused else [message], closed)


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
    if (recurs := request.text("recurrence")) is not None:
        changes["recurrence"] = recurs or None
    if zone := request.text("zone"):
        changes["zone"] = zone
    if catch_up := request.catch_up():
        changes["catch_up"] = catch_up
    return changes


def _changed_content(request: RequestFields, occurrence: Occurrence) -> str | None:
    """Return the content with the new prompt and script, or None if both stay. An empty script removes it."""
    removes = request.text("script") == ""
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
    start = request.moment("processAfter")
    if start is not None:
        start = _first(start, changed.recurrence, zone, changed.catch_up, context.now)
    elif changed.recurrence and {"recurrence", "zone"} & changes.keys():
        start = next_run(changed.recurrence, context.now, zone)
        return start if start == occurrence.slot else recurrence.free_slot(connection, changed, start, zone)
    if start and start != occurrence.slot and tasks.slot_taken(connection, changed.series_id, start):
        raise ActionRefused("the task has run for that time already; choose another processAfter")
    return start


_Action = Callable[[Connection, RequestFields, ActionContext], ActionResult]
_ACTIONS: Mapping[str, _Action] = {
    "schedule_task": _schedule,
    "cancel_task": _cancel,
    "pause_task": _pause,
    "resume_task": _resume,
    "update_task": _update,
}


LOCAL_ACTIONS = frozenset(_ACTIONS)
"""Names of the requests that a session performs itself."""


def _action(request: RequestFields, context: ActionContext) -> _Action:
    name = request.needed("action")
    if name not in _ACTIONS:
        known = ", ".join([*_ACTIONS, *sorted(context.host_actions)])
        raise ActionRefused(f"action {name!r:.100} is unknown; this host performs {known}")
    return _ACTIONS[name]
