"""Decisions about deliveries. The end of an attempt and the start of the next one are one commit."""

from attrs import evolve

from nanoclaw.session.changes import take_attempt, tell_settled
from nanoclaw.session.decisions import Attempt, CountUsage, Decisions, Effect, Finish, Log, Wake
from nanoclaw.session.finishing import AttemptEnded, Finished
from nanoclaw.session.outcomes import (
    Delivered,
    DeliveryRefused,
    Held,
    Performed,
    Result,
    Undeliverable,
    Unknown,
)
from nanoclaw.session.queue import Delivery
from nanoclaw.session.state import Moment, SessionState
from nanoclaw.store.session.deliveries import NOTICE


def finish(state: SessionState, delivery: Delivery, result: Result, now: Moment) -> Decisions:
    """Commit the result of an attempt together with the start of the next one."""
    deliveries, finished = state.deliveries.end_attempt(delivery, result, now.date, state.rules.zone)
    state, begun = take_attempt(evolve(state, deliveries=deliveries), now)
    return Decisions(state, step=Finish(finished, begun, now.date))


def follow(state: SessionState, step: Finish, ended: AttemptEnded, now: Moment) -> Decisions:
    """Apply a result that is on disk. Only now may the next receiver be asked."""
    finished, deliveries = step.finished, evolve(state.deliveries, finishing=False)
    if isinstance(finished.result, DeliveryRefused):
        refusals = deliveries.refusals.and_one(finished.delivery.id, finished.result.reason)
        deliveries = evolve(deliveries, refusals=refusals)
    state = evolve(state, deliveries=deliveries, messages=state.messages.add(ended.told))
    state, told = tell_settled(state, now)
    effects = (*_logs(finished), *_counted(finished), *told)
    if step.begun is None:
        return Decisions(state, effects)
    if ended.begun:
        return Decisions(state, effects, Attempt(step.begun))
    return Decisions(evolve(state, deliveries=state.deliveries.undo_take()), (*effects, Wake()))


def _counted(finished: Finished) -> list[Effect]:
    """Count a delivered message of the agent. The host's own are free."""
    sent = isinstance(finished.result, Delivered) and not finished.delivery.id.startswith(NOTICE)
    return [CountUsage(messages=1)] if sent else []


def _logs(finished: Finished) -> list[Effect]:
    logs = list[Effect]()
    if finished.series_error is not None:
        fields = {"message": finished.delivery.row.id, "reason": finished.series_error}
        logs.append(Log("error", "delivery.series_stopped", fields))
    logs.append(_log(finished.delivery.id, finished.result))
    return logs


def _log(id_: str, result: Result) -> Log:
    match result:
        case Delivered():
            return Log("debug", "delivery.delivered", {"message": id_})
        case Undeliverable(reason):
            return Log("error", "delivery.failed", {"message": id_, "reason": reason})
        case Performed(action, _, error):
            return Log("info", "action.performed", {"request": id_, "action": action, "error": error})
        case Held(reason):
            return Log("info", "delivery.held", {"message": id_, "reason": reason})
        case _:
            event = "delivery.unknown" if isinstance(result, Unknown) else "delivery.postponed"
            again = result.not_before.isoformat()
            return Log("warning", event, {"message": id_, "reason": result.reason, "again_at": again})
