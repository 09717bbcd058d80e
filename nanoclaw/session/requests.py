"""A request of an agent to its session: its context, its fields, and the result of its action (contract 5).

Everything in a request may be hostile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from nanoclaw.records import CatchUp
from nanoclaw.records.content import storable
from nanoclaw.registry import ActionRefused
from nanoclaw.scheduling import canonical, duration
from nanoclaw.store import Connection
from nanoclaw.store.engine.times import from_text
from nanoclaw.store.session import tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.tasks import Occurrence

MAX_PROMPT = 100_000
"""Limit of a prompt or script in characters."""
_CATCH_UP: Mapping[str, CatchUp] = {"skip": "skip", "all": "all", "none": "none"}


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

    def moment(self, key: str, now: datetime) -> datetime | None:
        """Return an optional time, or `now` plus an optional delay such as `90m`."""
        value = self.text(key)
        try:
            delay = duration(value.lower()) if value else None
            return now + delay if delay is not None else from_text(value) if value else None
        except (ValueError, OverflowError) as error:
            raise ActionRefused(
                f"{key} must be a time such as 2026-01-31T09:00:00Z, or a delay such as 2m, got {value!r:.60}"
            ) from error

    def recurrence(self) -> str | None:
        """Return the optional schedule as the contract's columns have it. An empty one is None.

        Raises:
            ScheduleError: it is invalid.
        """
        value = self.text("recurrence")
        return canonical(value) if value else None

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
