"""The status of a session, read from memory without waiting."""

from datetime import datetime, timedelta

import trio

from nanoclaw.records.status import DeliveryReport, RunnerReport, SessionDetails, SilentTask
from nanoclaw.session.deliveries import Deliveries
from nanoclaw.session.runner import Absent, Dead, Recovering, Runner, Starting, Stopping
from nanoclaw.session.state import SessionState
from nanoclaw.store.session.messages_in import OpenMessage

FULL = "the delivery queue is full; nothing more is read until some messages are delivered"
RESTORED_SHOWN = timedelta(days=7)
"""Time for which the status shows a conclusion about restored files."""
OUTDATED = "outbound.db is empty or of another build; its runner must migrate it"


def status(
    state: SessionState,
    polled: str | None,
    now: datetime,
    silent: tuple[SilentTask, ...] = (),
    queued: int | None = None,
) -> SessionDetails:
    """Return the details of a session. `polled` says why its directory is not watched."""
    refusals = state.deliveries.refusals
    return SessionDetails(
        runner=_runner(state.runner),
        pending=len(state.messages.open),
        working_on=len(state.messages.claimed),
        deliveries=state.deliveries.count,
        oldest_delivery=_oldest(state.deliveries),
        quarantined=state.outbound.quarantined,
        unreadable=_unreadable(state),
        refused=refusals.count,
        last_refused=refusals.last,
        ignored=state.outbound.ignored,
        polled=polled,
        restored=_restored(state, now),
        scheduled=sum(not message.due(now) for message in state.messages.open.values()),
        silent=silent,
        to_answer=sum(each.trigger and not _waits(each, now) for each in state.messages.open.values()),
        used_up=state.open_breaker.breaker.reason if state.open_breaker else None,
        queued=queued,
        waiting_for=state.deliveries.queue.by_channel(),
        waiting_tasks=sum(_waits(each, now) for each in state.messages.open.values()),
    )


def _restored(state: SessionState, now: datetime) -> str | None:
    found = state.restored
    if found is None or now - found.at > RESTORED_SHOWN:
        return None
    return f"{found.conclusion} (found {found.at:%Y-%m-%d %H:%M} UTC)"


def _waits(message: OpenMessage, now: datetime) -> bool:
    return message.task and not message.due(now)


def _unreadable(state: SessionState) -> str | None:
    if state.outbound.unreadable is not None:
        return state.outbound.unreadable
    if state.outbound.outdated:
        return OUTDATED
    return None if state.deliveries.queue.room else FULL


def _runner(runner: Runner) -> RunnerReport:
    held_up_s = runner.not_before - trio.current_time()
    return RunnerReport(
        state=_word(runner),
        failures=runner.failures,
        last_failure=runner.last_failure,
        next_start_in_s=held_up_s if held_up_s > 0 else None,
    )


def _word(runner: Runner) -> str:
    match runner.condition:
        case Absent():
            return "absent"
        case Stopping():
            return "stopping"
        case Starting(waits=True):
            return "waiting"
        case Recovering():
            return "recovering"
        case Dead():
            return "dead"
        case _:
            return "running"


def _oldest(deliveries: Deliveries) -> DeliveryReport | None:
    oldest = deliveries.queue.oldest()
    if oldest is None:
        return None
    in_flight = oldest is deliveries.queue.in_flight
    due = None if in_flight else oldest.due()
    held = not in_flight and oldest.address in deliveries.queue.unattended
    return DeliveryReport(
        oldest.id, oldest.attempts, in_flight, oldest.reason, due, doubts=oldest.doubts, held=held
    )
