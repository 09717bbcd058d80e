"""The decisions of a session. Only `decide(state, event, now)` makes the next state, and it is pure.

It uses no files, clocks or tasks. The session's shell takes the step of a decision and returns the result as
an event. So the order of contract 4 is visible here: recover, read acks, settle, and only then start. An
attempt begins only after the commit that records it.
"""

from collections.abc import Iterable, Sequence

from attrs import evolve

from nanoclaw.budgets import OpenBreaker
from nanoclaw.records import Address, SessionStatus
from nanoclaw.session import delivering, looking, needs
from nanoclaw.session.changes import count_failure, stop_runner
from nanoclaw.session.comparing import Comparison, History
from nanoclaw.session.decisions import (
    Decisions,
    Effect,
    Log,
    NotePresence,
    Retire,
    StartRunner,
    StopRunner,
    Wake,
)
from nanoclaw.session.events import (
    Adopted,
    Attempted,
    Attended,
    BreakerChanged,
    BudgetTold,
    Closing,
    Committed,
    DelayTold,
    Ending,
    Event,
    FileDamaged,
    FileHot,
    FileLocked,
    FilesCompared,
    FileUnavailable,
    FinishCommitted,
    InboundBlocked,
    Looked,
    NoticesAdded,
    PlaceAwaited,
    RecoveryEnded,
    ReleaseAsked,
    RenewalAsked,
    RestartAsked,
    RoundBegan,
    RoundEnded,
    RunnerEnded,
    RunnerStarted,
    StatusChanged,
    Stored,
    TasksChanged,
    Ticked,
)
from nanoclaw.session.runner import Stopping
from nanoclaw.session.state import BreakerHold, Moment, Phase, SessionState
from nanoclaw.store.session.outbound import MessageOut


def decide(state: SessionState, event: Event, now: Moment) -> Decisions:  # noqa: C901, PLR0911, PLR0912 -- one case an event
    """Return the consequences of an event."""
    match event:
        case Stored():
            return _stored(state, event, now)
        case TasksChanged(opened, closed):
            return Decisions(evolve(state, messages=state.messages.remove(closed).add(opened)))
        case Ticked():
            return _tick(state, now)
        case RoundBegan(heartbeat):
            return looking.begin(state, heartbeat, now)
        case Looked(seen):
            return looking.read(state, seen, now)
        case FileLocked(reason):
            return looking.handle_lock(state, reason, now)
        case FileUnavailable(reason):
            return looking.handle_unavailable(state, reason, now)
        case FileHot(reason):
            return looking.handle_hot_journal(state, reason, now)
        case FileDamaged(reason):
            return looking.handle_damage(state, reason, now)
        case Committed(step, settled):
            return looking.follow(state, step, settled, now)
        case DelayTold(notices) | NoticesAdded(notices):
            return _queue(state, notices)
        case BudgetTold(told, notices):
            return _queue(_with_told(state, told), notices)
        case RoundEnded():
            return _end_round(state, now)
        case Attempted(delivery, result):
            return delivering.finish(state, delivery, result, now)
        case FinishCommitted(step, ended):
            return delivering.follow(state, step, ended, now)
        case Attended(address):
            attended = state.deliveries.attended(address, state.rules.chat)
            changed = attended is not state.deliveries
            return Decisions(evolve(state, deliveries=attended), (Wake(),) if changed else ())
        case PlaceAwaited(waits):
            return Decisions(evolve(state, runner=state.runner.wait(now.monotonic, waits=waits)))
        case RunnerStarted():
            runner = state.runner.started()
            is_stopping = isinstance(runner.condition, Stopping)
            return Decisions(evolve(state, runner=runner), (StopRunner(),) if is_stopping else ())
        case RunnerEnded(death):
            return Decisions(evolve(state, runner=state.runner.ended(death)), (Wake(),))
        case RecoveryEnded(failure):
            return _recovered(state, failure, now)
        case FilesCompared(comparison):
            return _compared(state, comparison)
        case StatusChanged(status):
            return _change_status(state, status)
        case BreakerChanged(breaker):
            return _change_breaker(state, breaker, now)
        case Adopted():
            return _adopt(state, now)
        case RestartAsked():
            stopping, effects = stop_runner(state, "shutdown")
            return Decisions(evolve(stopping, runner=stopping.runner.without_failures()), (*effects, Wake()))
        case RenewalAsked():
            return _end_outdated(evolve(state, runner=state.runner.outdate()))
        case ReleaseAsked(between_turns):
            return _release(state, now, between_turns=between_turns)
        case InboundBlocked():
            return Decisions(*stop_runner(state, "stuck"))
        case Closing():
            closing, effects = stop_runner(evolve(state, phase=Phase.STOPPING), "shutdown")
            return Decisions(closing, (*effects, Wake()))
        case Ending():
            return Decisions(evolve(state, phase=Phase.ENDING))


# -- messages and status -------------------------------------------------------


def _stored(state: SessionState, event: Stored, now: Moment) -> Decisions:
    idle = not needs.is_watched(state, now)
    activity = evolve(state.activity, active_at=now.monotonic)
    if idle:
        activity = evolve(activity, swept_at=now.monotonic)
    told = (Wake(),) if state.open_breaker else ()  # a round tells people that their messages wait
    return Decisions(evolve(state, messages=state.messages.add(event.messages), activity=activity), told)


def _queue(state: SessionState, notices: Sequence[MessageOut]) -> Decisions:
    queued = evolve(state, deliveries=state.deliveries.queue_notices(notices))
    return Decisions(queued, (Wake(),) if notices else ())


def _change_status(state: SessionState, status: SessionStatus) -> Decisions:
    state = evolve(state, status=status)
    return Decisions(state) if status == "active" else Decisions(*stop_runner(state, "shutdown"))


# -- breakers ------------------------------------------------------------------


def _change_breaker(state: SessionState, breaker: OpenBreaker | None, now: Moment) -> Decisions:
    """Wait while a budget or disk space is used up, and go on when it is not."""
    before = state.open_breaker
    if breaker is None:
        if before is None:
            return Decisions(state)
        disk = before.breaker.kind == "disk"
        log = Log("info", "session.has_space") if disk else Log("info", "session.in_budget")
        return Decisions(evolve(state, open_breaker=None), (log, Wake()))
    if before is not None and before.breaker.key == breaker.key:
        return Decisions(evolve(state, open_breaker=evolve(before, breaker=breaker)))
    fields = {"reason": breaker.reason}
    if breaker.kind == "disk":
        log = Log("warning", "session.out_of_space", fields)
    else:
        log = Log("info", "session.out_of_budget", fields)
    return Decisions(evolve(state, open_breaker=BreakerHold(breaker, now.monotonic)), (log, Wake()))


def _with_told(state: SessionState, told: Iterable[Address | None]) -> SessionState:
    if state.open_breaker is None:
        return state
    waiting = evolve(state.open_breaker, told=state.open_breaker.told | frozenset(told))
    return evolve(state, open_breaker=waiting)


def _compared(state: SessionState, comparison: Comparison) -> Decisions:
    outbound, known = evolve(state.outbound, history=History.COMPARED), state.restored
    state = evolve(state, outbound=outbound, restored=comparison.restored)
    if comparison.skipped is not None:
        state = evolve(state, deliveries=state.deliveries.skip(comparison.skipped, comparison.closed))
    if comparison.restored is None or comparison.restored == known:
        return Decisions(state)
    reason = comparison.restored.conclusion
    return Decisions(state, (Log("warning", "session.files_restored", {"reason": reason}),))


# -- the runner ----------------------------------------------------------------


def _adopt(state: SessionState, now: Moment) -> Decisions:
    """Adopt the surviving runner, or stop it if it may not run."""
    if not state.runner.absent:
        return Decisions(state)
    state = evolve(state, runner=state.runner.start(now.monotonic))
    if state.status == "active" and state.outbound.quarantined is None:
        return Decisions(state, (StartRunner(),))
    state, effects = stop_runner(state, "shutdown")
    return Decisions(state, (StartRunner(), *effects))


def _release(state: SessionState, now: Moment, *, between_turns: bool) -> Decisions:
    """Stop the runner if it waits for work. Another session needs its descriptors or its place."""
    if needs.is_idle(state, now) or (between_turns and needs.is_between_turns(state)):
        return Decisions(*stop_runner(state, "idle"))
    return Decisions(state)


def _end_outdated(state: SessionState) -> Decisions:
    """Stop a runner whose configuration has changed, unless it is in a turn."""
    if state.runner.outdated and needs.is_between_turns(state):
        return Decisions(*stop_runner(state, "idle"))
    return Decisions(state)


def _recovered(state: SessionState, failure: str | None, now: Moment) -> Decisions:
    effects: tuple[Effect, ...] = ()
    if failure is not None:
        state, effects = count_failure(state, failure, now)
    return Decisions(evolve(state, runner=state.runner.recovered()), (*effects, Wake()))


# -- what is due ---------------------------------------------------------------


def _tick(state: SessionState, now: Moment) -> Decisions:
    """Start a runner if there is work, stop an idle one, or retire."""
    state, presence = _presence(state, now)
    if state.phase is not Phase.OPEN:
        return Decisions(state, presence)
    effects = (*presence, *([Wake()] if state.outbound.more and state.deliveries.queue.room else []))
    runner = state.runner
    if (
        runner.absent
        and state.outbound.looked
        and needs.wants_runner(state, now)
        and runner.may_start(now.monotonic)
    ):
        return Decisions(_starting(state, now), (*effects, StartRunner()))
    if runner.outdated and needs.is_between_turns(state):
        state, stopped = stop_runner(state, "idle")
        return Decisions(state, (*effects, *stopped))
    if runner.alive and needs.ends_for_breaker_s(state, now) <= 0:
        state, stopped = stop_runner(state, "shutdown")
        return Decisions(state, (*effects, *stopped))
    if runner.alive and needs.idle_left_s(state, now, watched=needs.is_watched(state, now)) <= 0:
        state, stopped = stop_runner(state, "idle")
        return Decisions(state, (*effects, *stopped))
    return Decisions(state, (*effects, Retire()) if needs.is_finished(state) else effects)


def _starting(state: SessionState, now: Moment) -> SessionState:
    return evolve(
        state,
        messages=state.messages.begin_runner(),
        runner=state.runner.start(now.monotonic),
        activity=evolve(state.activity, active_at=now.monotonic),
    )


def _presence(state: SessionState, now: Moment) -> tuple[SessionState, tuple[Effect, ...]]:
    status, active_at = state.runner.container_status, state.activity.active_at
    if (status, active_at) == state.activity.told:
        return state, ()
    activity = evolve(state.activity, told=(status, active_at))
    return evolve(state, activity=activity), (NotePresence(status, now.monotonic - active_at),)


def _end_round(state: SessionState, now: Moment) -> Decisions:
    state = looking.note_claiming(state, now)
    retires = needs.is_finished(state) and state.phase is Phase.OPEN
    return Decisions(state, (Retire(),) if retires else ())
