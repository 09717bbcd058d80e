"""Reads the scheduled tasks from inbound.db."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from agent_runner.store import Connection
from agent_runner.text import load
from agent_runner.times import from_text_or

FARTHEST = 1000


@frozen
class OpenTask:
    """A task with a future occurrence. `zone` and `script` are empty if the task has none."""

    id: str
    prompt: str
    script: str
    next_run: datetime
    recurrence: str
    paused: bool
    zone: str


def open_tasks(connection: Connection, now: datetime) -> Sequence[OpenTask]:
    """Return one task for each series, the next run first, from at most 1,000 rows.

    A row without a time counts as due `now`.
    """
    rows = connection.execute(
        """
        SELECT coalesce(series_id, id), content, process_after, recurrence, status, zone
        FROM messages_in
        WHERE kind = 'task' AND status IN ('pending', 'paused')
        ORDER BY series_id LIMIT :farthest
        """,
        {"farthest": FARTHEST},
    )
    return sorted(_merge(_task(row, now) for row in rows), key=lambda task: task.next_run)


def _task(row: Sequence[object], now: datetime) -> OpenTask:
    id_, content, process_after, recurrence, status, zone = row
    next_run = from_text_or(process_after, now)
    paused = status == "paused"
    texts = _content(content)
    prompt, script = str(texts.get("prompt", "")), str(texts.get("script") or "")
    return OpenTask(str(id_), prompt, script, next_run, str(recurrence or ""), paused, str(zone or ""))


def _content(content: object) -> Mapping[str, object]:
    try:
        return load(content)
    except ValueError:
        return {}


def _merge(tasks: Iterable[OpenTask]) -> Iterable[OpenTask]:
    """Merge the rows of a series: late ones come first, and only the last has the recurrence."""
    merged: dict[str, OpenTask] = {}
    for task in tasks:
        other = merged.get(task.id, task)
        next_run = min(task.next_run, other.next_run)
        merged[task.id] = evolve(task, next_run=next_run, recurrence=task.recurrence or other.recurrence)
    return merged.values()
