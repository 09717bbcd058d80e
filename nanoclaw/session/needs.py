"""Decides if a session needs a runner, when it wakes, and if it may retire. Pure functions of its state."""

from math import inf

from nanoclaw.records import Address
from nanoclaw.session.runner import Absent, Dead, Running, Stopping
from nanoclaw.session.state import Moment, SessionState

BLIND_S = 1.0
"""Seconds before the next look, if the last one could not read the file."""
SWEEP_S = 30.0
"""Interval in seconds of looks without a wake-up, while the runner has work that it may leave unclaimed."""
TYPING_AGAIN_S = 4.0
"""Seconds after which the typing sign is repeated. Telegram lets it expire after 5 s, Discord after 10 s."""
TICK_S = 0.001
"""Shortest sleep in seconds. A shorter remainder of rounding might not move the clock."""


def wants_runner(state: SessionState, now: Moment) -> bool:
    """Return True if there is work for a runner, and it may run."""
    if state.outbound.quarantined is not None or state.status != "active" or state.open_breaker is not None:
        return False
    return state.outbound.outdated or (bool(state.messages.open) and state.messages.wanted(now.date))


def is_watched(state: SessionState, now: Moment) -> bool:
    """Return True if there is work that a runner might leave unclaimed."""
    return bool(state.messages.claimed) or wants_runner(state, now)


def is_idle(state: SessionState, now: Moment) -> bool:
    """Return True if the runner is up and has no work."""
    return isinstance(state.runner.condition, Running) and not is_watched(state, now)


def is_between_turns(state: SessionState) -> bool:
    """Return True if the runner is up and has claimed nothing, as far as the last look tells."""
    return isinstance(state.runner.condition, Running) and not state.messages.claimed


def typing_again_s(state: SessionState) -> float:
    """Return the seconds after which the typing sign is repeated; infinite if nobody works."""
    return TYPING_AGAIN_S if typing_in(state) else inf


def typing_in(state: SessionState) -> tuple[Address, ...]:
    """Return the chats whose messages a living runner works on."""
    if not state.runner.alive or state.runner.waits:
        return ()
    messages = (state.messages.open.get(id_) for id_ in state.messages.claimed)
    return tuple(dict.fromkeys(message.address for message in messages if message and message.address))


def idle_left_s(state: SessionState, now: Moment, *, watched: bool) -> float:
    """Return the seconds until a runner has been idle for too long."""
    limit = state.rules.idle_s
    return limit if watched else state.activity.active_at + limit - now.monotonic


def ends_for_breaker_s(state: SessionState, now: Moment) -> float:
    """Return the seconds until a runner is stopped because a budget, or disk space, is used up.

    A turn may end, because its last answer is paid for.
    """
    waiting = state.open_breaker
    if waiting is None:
        return inf
    working = state.messages.claimed or not waiting.looked
    return waiting.since + waiting.breaker.grace_s - now.monotonic if working else 0.0


def waits_alone(state: SessionState, now: Moment) -> bool:
    """Return True if the session waits for a later time, without a runner or delivery until then."""
    alone = state.runner.absent and state.deliveries.queue.in_flight is None
    starts = state.outbound.looked and wants_runner(state, now) and state.runner.may_start(now.monotonic)
    return alone and not _is_done(state) and not starts


def idles(state: SessionState, now: Moment) -> bool:
    """Return True if the session and its runner have had nothing to do for a whole slow poll."""
    idle = state.deliveries.idle and not is_watched(state, now)
    return idle and now.monotonic - state.activity.active_at >= state.rules.slow_poll_s


def is_finished(state: SessionState) -> bool:
    """Return True if the session may retire: nothing is open and no runner exists."""
    return state.runner.absent and _is_done(state)


def _is_done(state: SessionState) -> bool:
    return state.deliveries.idle and (state.status != "active" or state.messages.has_only_context())


def sleep_s(state: SessionState, now: Moment) -> float:
    """Return the seconds until the session must wake."""
    moments = [state.deliveries.queue.next_due(now.date)]
    waits = [BLIND_S if state.outbound.unreadable else inf]
    if state.runner.alive:
        # Counted from the last round, so that other events, such as deliveries, do not delay a sweep.
        watched = is_watched(state, now)
        interval = SWEEP_S if watched else state.rules.slow_poll_s
        waits.append(state.activity.swept_at + interval - now.monotonic)
        if (drop_at := state.messages.next_drop()) is not None:
            # A look that fails must not be repeated at once.
            waits.append(max(drop_at, state.activity.swept_at + BLIND_S) - now.monotonic)
        if not isinstance(state.runner.condition, Stopping):
            waits += [idle_left_s(state, now, watched=watched), ends_for_breaker_s(state, now)]
    elif state.outbound.quarantined is None and state.outbound.unreadable is None:
        # No runner starts without a look, so this need not wait for due messages or the end of a back-off.
        moments.append(state.messages.next_due(now.date))
        if _is_held_up(state, now):
            waits.append(state.runner.not_before - now.monotonic)
    waits += [(moment - now.date).total_seconds() for moment in moments if moment is not None]
    shortest = min(waits)
    return max(shortest, TICK_S) if shortest > 0 else 0.0


def _is_held_up(state: SessionState, now: Moment) -> bool:
    """Return True if only the back-off prevents a start, or did so at the last look."""
    match state.runner.condition:
        case Dead():
            return not state.runner.may_start(now.monotonic)
        case Absent():
            return wants_runner(state, now)
        case _:
            return False
