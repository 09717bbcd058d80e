"""Finds tasks that leave out times of their schedules, and says why. It reads only memory."""

from collections.abc import Iterable
from datetime import datetime

import trio

from nanoclaw.records.status import SilentTask
from nanoclaw.scheduling import ScheduleError, period, slot_after
from nanoclaw.session.messages import Messages
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.messages_in import OpenMessage, Schedule

AT_ONCE = 20
"""Tasks that are examined between two checkpoints. Each takes up to a millisecond."""


async def silent_tasks(messages: Messages, now: datetime, zone: str) -> tuple[SilentTask, ...]:
    """Return the recurring tasks that leave out times of their schedules. `zone` is the user's.

    Paused tasks and tasks at work are not silent.
    """
    found = list[SilentTask]()
    for n, message in enumerate(_waiting(messages)):
        if n % AT_ONCE == AT_ONCE - 1:
            await trio.lowlevel.checkpoint()
        schedule = message.schedule
        reason = schedule and _reason(message, schedule, now, zone)
        if schedule and reason:
            found.append(SilentTask(schedule.series_id, reason))
    return tuple(found)


def _waiting(messages: Messages) -> Iterable[OpenMessage]:
    return [
        message
        for message in messages.open.values()
        if message.schedule and message.schedule.recurrence and message.id not in messages.claimed
    ]


def _reason(message: OpenMessage, schedule: Schedule, now: datetime, zone: str) -> str | None:
    due, recurrence, own_zone = message.process_after, schedule.recurrence or "", schedule.zone or zone
    try:
        if due is None or message.tries:  # its next try is soon
            period(recurrence, now, own_zone)
        elif due > now:
            first = slot_after(recurrence, due, now, own_zone)
            if first < due:
                return f"waits until {to_text(due)}, and leaves out its times from {to_text(first)} on"
        elif now - due > period(recurrence, due, own_zone):
            return f"is due since {to_text(due)}, but no runner has taken it"
    except ScheduleError as error:
        return f"has no times after this one: {error}"
    return None
