"""State changes, with their effects, that several decisions share."""

from attrs import evolve

from nanoclaw.session.decisions import Effect, Log, StopRunner, TellSettled
from nanoclaw.session.queue import Delivery
from nanoclaw.session.runner import MAX_BACKOFF_S, StopReason
from nanoclaw.session.state import Moment, Phase, SessionState

Changed = tuple[SessionState, tuple[Effect, ...]]


def stop_runner(state: SessionState, why: StopReason) -> Changed:
    """Stop the runner, if there is one that is not stopping yet."""
    runner = state.runner.stop(why)
    if runner is state.runner:
        return state, ()
    return evolve(state, runner=runner), (Log("info", "session.runner_stopping", {"why": why}), StopRunner())


def count_failure(state: SessionState, reason: str, now: Moment, longest_s: float = MAX_BACKOFF_S) -> Changed:
    """Count a failed start or run, and delay the next start, for at most `longest_s`.

    A shortage of the system may last for hours, and a start is tried every few seconds. It is reported once.
    """
    again = longest_s < MAX_BACKOFF_S and reason == state.runner.last_failure
    runner = state.runner.failed(reason, state.rules.runner_backoff_s, now.monotonic, longest_s)
    fields = {
        "reason": reason,
        "failures": runner.failures,
        "next_start_in_s": runner.not_before - now.monotonic,
        "advice": "fix what the reason names; messages are kept, and the next runner that works answers them",
    }
    return evolve(state, runner=runner), (
        Log("debug" if again else "error", "session.runner_failed", fields),
    )


def take_attempt(state: SessionState, now: Moment) -> tuple[SessionState, Delivery | None]:
    """Choose the next attempt. Return None if none may begin."""
    if state.phase is Phase.ENDING:
        return state, None
    deliveries, begun = state.deliveries.take(now.date)
    return (state, None) if begun is None else (evolve(state, deliveries=deliveries), begun)


def take_actions(state: SessionState, now: Moment) -> tuple[SessionState, tuple[Delivery, ...]]:
    """Choose the agent's requests that are due."""
    if state.phase is Phase.ENDING:
        return state, ()
    deliveries, actions = state.deliveries.take_actions(now.date)
    return (evolve(state, deliveries=deliveries), actions) if actions else (state, ())


def tell_settled(state: SessionState, now: Moment) -> Changed:
    """Tell the channels which messages are settled, as far as all earlier rows are final."""
    deliveries, told = state.deliveries.take_settled(now.date)
    if not told:
        return state, ()
    effects = tuple(TellSettled(each.address, each.platform_message_id, each.outcome) for each in told)
    return evolve(state, deliveries=deliveries), effects
