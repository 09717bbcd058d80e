"""The decisions of a round: check the runner, read its file, and settle its acks and claims.

The order is that of contract 4: recover a hot journal, read acks, settle messages. Only then may `core` start
another runner.
"""

from collections.abc import Sequence

from attrs import evolve

from nanoclaw.session import needs, recurrence
from nanoclaw.session.changes import (
    Changed,
    count_failure,
    stop_runner,
    take_actions,
    take_attempt,
    tell_settled,
)
from nanoclaw.session.decisions import (
    CountUsage,
    DeathJudged,
    Decisions,
    Effect,
    HandOver,
    Log,
    NothingSeen,
    ReadOutbound,
    RecoverOutbound,
    RowsSeen,
    Settle,
    ShowTyping,
    TellLooked,
    TellOfBreaker,
    TellOfDelay,
    TellQuarantined,
    Wake,
)
from nanoclaw.session.finishing import Finished
from nanoclaw.session.messages import Completed, Messages, Retry, Verdict, ended_turns
from nanoclaw.session.runner import (
    HINDERED_BACKOFF_S,
    MAX_BACKOFF_S,
    STUCK_S,
    WANTED,
    Absent,
    Dead,
    Recovering,
)
from nanoclaw.session.state import (
    HotJournal,
    Locked,
    Moment,
    Outbound,
    Outdated,
    Quarantined,
    Readable,
    SessionState,
    Unavailable,
)
from nanoclaw.session.transactions import Settlement, SettlementOutcome, replaced
from nanoclaw.store.session.outbound import Look

# -- the beginning -------------------------------------------------------------


def begin(state: SessionState, heartbeat: int | None, now: Moment) -> Decisions:
    """Check the runner, then read its file, unless the file is quarantined or in recovery."""
    state = evolve(state, deliveries=state.deliveries.shortened(now.date))
    runner = state.runner.look(heartbeat, now.monotonic)
    activity = evolve(state.activity, swept_at=now.monotonic)
    state, hung = _stop_if_hung(evolve(state, runner=runner, activity=activity), now)
    state, idle = _stop_if_not_claiming(state, now)
    if isinstance(state.runner.condition, Dead):
        state = evolve(state, runner=state.runner.noticed())
    if state.outbound.quarantined is None and not isinstance(state.runner.condition, Recovering):
        return Decisions(state, (*hung, *idle), ReadOutbound())
    blind = isinstance(state.runner.condition, Recovering)
    return _continue(state, NothingSeen(blind), now, (*hung, *idle))


def _stop_if_hung(state: SessionState, now: Moment) -> Changed:
    claimed = state.messages.newest_claim()
    if claimed is not None and not state.runner.waits and state.runner.hangs(claimed, now.monotonic):
        return stop_runner(state, "stuck")
    return state, ()


def _stop_if_not_claiming(state: SessionState, now: Moment) -> Changed:
    """Stop a runner that leaves due work unclaimed. Without a claim, its heartbeat proves nothing."""
    state = note_claiming(state, now)
    since = state.runner.unclaimed_since
    if since is None or now.monotonic - since <= STUCK_S:
        return state, ()
    state, effects = stop_runner(state, "stuck")
    return state, (Log("error", "session.runner_claims_nothing", {"after_s": STUCK_S}), *effects)


def note_claiming(state: SessionState, now: Moment) -> SessionState:
    """Note since when due work has been unclaimed.

    This also runs after a look, because the work may have been claimed and completed since.
    """
    runner, since = state.runner, state.runner.unclaimed_since
    if runner.container_status != "running" or state.messages.claimed or not needs.wants_runner(state, now):
        since = None
    elif since is None:
        since = now.monotonic
    return state if since == runner.unclaimed_since else _with_runner(state, unclaimed_since=since)


# -- obstacles to a look ----------------------------------------------------


def handle_lock(state: SessionState, reason: str, now: Moment) -> Decisions:
    """Note the lock and look again later."""
    file = Locked(reason, state.outbound.outdated)
    state = evolve(state, outbound=evolve(state.outbound, file=file))
    log = Log("warning", "session.outbound_locked", {"reason": reason})
    return _continue(state, NothingSeen(blind=True), now, (log,))


def handle_unavailable(state: SessionState, reason: str, now: Moment) -> Decisions:
    """Note that the system cannot serve the file, and look again later. Log it ever more rarely."""
    before = state.outbound.file
    tries = before.tries + 1 if isinstance(before, Unavailable) else 1
    file = Unavailable(reason, state.outbound.outdated, tries)
    state = evolve(state, outbound=evolve(state.outbound, file=file))
    log = Log("warning", "session.outbound_unavailable", {"reason": reason, "tries": tries})
    rare = tries & (tries - 1) == 0  # 1, 2, 4, 8 …
    return _continue(state, NothingSeen(blind=True), now, (log,) if rare else ())


def handle_hot_journal(state: SessionState, reason: str, now: Moment) -> Decisions:
    """Have the journal rolled back by a living runner, or by one that runs only for that (contract 6)."""
    file = HotJournal(reason, state.outbound.outdated)
    state, effects = evolve(state, outbound=evolve(state.outbound, file=file)), tuple[Effect, ...]()
    if isinstance(state.runner.condition, Absent | Dead) and state.runner.may_start(now.monotonic):
        state, effects = _recover(state, now)
    return _continue(state, NothingSeen(blind=True), now, effects)


def _recover(state: SessionState, now: Moment) -> Changed:
    """Start a recovery. If the last one did not help, count a failure, which delays the next one."""
    outbound = evolve(state.outbound, recovered=not state.outbound.recovered)
    if outbound.recovered:
        return evolve(state, outbound=outbound, runner=state.runner.recover()), (RecoverOutbound(),)
    useless = "outbound.db still has a hot journal after its recovery"
    return count_failure(evolve(state, outbound=outbound), useless, now)


def handle_damage(state: SessionState, reason: str, now: Moment) -> Decisions:
    """Quarantine the file. The session reads nothing more and starts no runner; the host continues."""
    state = evolve(state, outbound=evolve(state.outbound, file=Quarantined(reason)))
    state, stopped = stop_runner(state, "quarantine")
    log = Log("error", "session.quarantined", {"reason": reason})
    return _continue(state, NothingSeen(blind=False), now, (TellQuarantined(reason), *stopped, log))


def _continue(state: SessionState, cause: NothingSeen, now: Moment, effects: tuple[Effect, ...]) -> Decisions:
    """Continue with work that was read before, without a look."""
    state, actions = take_actions(state, now)
    claimed = frozenset(state.messages.claimed)
    state, begun = take_attempt(state, now)
    settlement = Settlement(actions=actions, claimed=claimed, begun=begun)
    return _settle(state, Settle(settlement, now.date, cause), now, effects)


# -- what a look has read --------------------------------------------------------


def read(state: SessionState, seen: Look, now: Moment) -> Decisions:
    """Settle what a look has read. The settlement and the start of the next attempt are one commit."""
    if seen.outdated:
        state = evolve(state, outbound=evolve(state.outbound, file=Outdated()))
        return _continue(state, NothingSeen(blind=False), now, ())
    told: tuple[Effect, ...] = (TellLooked(seen, now.date),)
    if seen.ignored is not None and state.outbound.ignored is None:
        told = (*told, Log("warning", "session.rows_ignored", {"reason": seen.ignored}))
    many, before = state.messages.exceed_one_look, state.messages.claimed
    outbound = Outbound(
        Readable(), looked=state.outbound.looked, more=state.outbound.more, ignored=seen.ignored
    )
    if outbound != state.outbound:
        state = evolve(state, outbound=outbound)
    state, settlement = _settlement(state, seen, now)
    newly = [id_ for id_ in state.messages.claimed if id_ not in before]
    if newly:
        state = evolve(state, runner=evolve(state.runner, claimed_at=now.monotonic))
    cause = RowsSeen(newly, seen.more, again=bool(settlement.verdicts) and many)
    return _settle(state, Settle(settlement, now.date, cause), now, told)


def _settlement(state: SessionState, seen: Look, now: Moment) -> tuple[SessionState, Settlement]:
    rules = state.rules
    messages, verdicts = state.messages.judge(seen.acks, now.date)
    deliveries, doubts = state.deliveries.reread(seen, now.date, rules)
    deliveries, rows = deliveries.add(seen.rows, messages.open, now.date, rules.zone)
    state = _with_activity(
        evolve(state, messages=messages, deliveries=deliveries), seen, now, settled_any=bool(verdicts)
    )
    state, dropped = _drop_untaken(state, now)
    messages, verdicts = state.messages, (*verdicts, *dropped)
    state, actions = take_actions(state, now)
    state, begun = take_attempt(state, now)
    return state, Settlement(
        (*verdicts, *_shortened(messages, verdicts, seen, now)),
        rows,
        doubts,
        actions,
        missed=messages.has_missed(now.date - recurrence.MISSED_AFTER),
        misdated=messages.has_misdated(now.date),
        misdated_deliveries=state.deliveries.queue.misdated(now.date),
        claimed=frozenset(messages.claimed),
        begun=begun,
        turns=ended_turns(seen.acks, verdicts),
    )


def _shortened(
    messages: Messages, verdicts: Sequence[Verdict], seen: Look, now: Moment
) -> tuple[Verdict, ...]:
    judged = frozenset(verdict.message.id for verdict in verdicts)
    retries = messages.shorten(seen.acks, now.date)
    return tuple(each for each in retries if each.message.id not in judged)


def _with_activity(state: SessionState, seen: Look, now: Moment, *, settled_any: bool) -> SessionState:
    """Note the runner's activity in a look."""
    runner = state.runner
    if seen.tool_timeout_s != runner.tool_timeout_s:
        runner = evolve(runner, tool_timeout_s=seen.tool_timeout_s)
    if seen.runner not in (None, runner.kind):
        runner = evolve(runner, kind=seen.runner)
    if settled_any or seen.rows:
        # Settled: claimed and completed between two looks.
        since = None if settled_any else runner.unclaimed_since
        runner = evolve(runner, useful=True, unclaimed_since=since)
        activity = evolve(state.activity, active_at=now.monotonic)
        return evolve(state, runner=runner, activity=activity)
    return state if runner is state.runner else evolve(state, runner=runner)


def _drop_untaken(state: SessionState, now: Moment) -> tuple[SessionState, tuple[Verdict, ...]]:
    if state.runner.kind == "ours" or state.runner.container_status != "running":
        return evolve(state, messages=state.messages.forget_untaken()), ()
    messages, dropped = state.messages.drop_untaken(now.date, now.monotonic)
    return evolve(state, messages=messages), dropped


# -- what was committed --------------------------------------------------------


def _settle(state: SessionState, step: Settle, now: Moment, effects: tuple[Effect, ...]) -> Decisions:
    """Commit the settlement, unless it is empty."""
    if step.settlement:
        return Decisions(state, effects, step)
    return _with(effects, _after(state, step, [], now))


def follow(state: SessionState, step: Settle, settled: SettlementOutcome, now: Moment) -> Decisions:
    """Apply a settlement that is on disk. No other place does."""
    settlement = step.settlement
    state = evolve(
        state,
        messages=state.messages.apply(settlement.verdicts).remove(settled.closed).add(settled.opened),
        deliveries=state.deliveries.queue_notices(settled.notices)
        .replace_bad(settled.bad, settlement.actions)
        .hand_to_host(settled.handed_on)
        .redated(settled.redated),
    )
    state, told = _tell_outcomes(state, settlement, now)
    effects: list[Effect] = [*_series_errors(settlement.doubts), *told]
    counted = CountUsage(turns=settlement.turns, tool_calls=len(settlement.actions))
    if counted != CountUsage():
        effects.append(counted)
    if settlement.begun is not None:
        effects += map(HandOver, replaced([settlement.begun], settled.bad))
    refused = any(each.action is None for each in replaced(settlement.actions, settled.bad))
    if settled.notices or settled.handed_on or refused:
        effects.append(Wake())
    return _after(state, step, effects, now)


def _tell_outcomes(state: SessionState, settlement: Settlement, now: Moment) -> Changed:
    over = [each for each in settlement.verdicts if not isinstance(each, Retry)]
    deliveries = state.deliveries.settle(
        (each.message, "completed" if isinstance(each, Completed) else "failed") for each in over
    )
    if deliveries is state.deliveries:
        return state, ()
    return tell_settled(evolve(state, deliveries=deliveries), now)


def _series_errors(finished: Sequence[Finished]) -> list[Effect]:
    return [
        Log(
            "error", "delivery.series_stopped", {"message": each.delivery.row.id, "reason": each.series_error}
        )
        for each in finished
        if each.series_error is not None
    ]


def _after(state: SessionState, step: Settle, effects: list[Effect], now: Moment) -> Decisions:
    """Continue after the cause of the settlement."""
    match step.cause:
        case RowsSeen(newly, more, again):
            effects += _typing(state, newly)
            if more != state.outbound.more:
                state = evolve(state, outbound=evolve(state.outbound, more=more))
            if again or (more and state.deliveries.queue.room):
                return Decisions(state, tuple(effects), ReadOutbound())
            return _with(effects, _end(state, now))
        case NothingSeen(blind):
            return _with(effects, Decisions(state) if blind else _end(state, now))
        case DeathJudged(idle):
            return _with(effects, _end_runner(state, now, idle=idle))


def _with(effects: Sequence[Effect], decisions: Decisions) -> Decisions:
    """Prepend effects to those of the decisions."""
    return evolve(decisions, effects=(*effects, *decisions.effects))


def _typing(state: SessionState, newly_claimed: Sequence[str]) -> list[Effect]:
    claimed = [state.messages.open[id_] for id_ in newly_claimed if id_ in state.messages.claimed]
    return [ShowTyping(message.address) for message in claimed if message.address is not None]


# -- the end of a look, and of a runner ----------------------------------------


def _end(state: SessionState, now: Moment) -> Decisions:
    """End a look without obstacles: now all acks of a dead runner are settled."""
    if not state.outbound.looked:
        state = evolve(state, outbound=evolve(state.outbound, looked=True))
    match state.runner.condition:
        case Dead(noticed=True) as dead:
            return _settle_death(state, dead, now)
        case _:
            return _tell_of_breaker(state, now)


def _tell_of_breaker(state: SessionState, now: Moment) -> Decisions:
    """Tell people, once a chat, that their messages wait, and why."""
    hold = state.open_breaker
    if hold is None or state.status != "active":
        return Decisions(state)
    if not hold.looked:
        state = evolve(state, open_breaker=evolve(hold, looked=True))
    waiting = [
        each
        for each in state.messages.waiting(now.date)
        if not each.task and each.address not in hold.told and each.id not in state.messages.claimed
    ]
    return Decisions(state, step=TellOfBreaker(waiting, hold.breaker) if waiting else None)


def _settle_death(state: SessionState, dead: Dead, now: Moment) -> Decisions:
    """Settle the claims of a dead runner. Each costs a try, unless the runner was stopped on purpose."""
    idle = not (dead.lived and state.messages.own_claims())
    if dead.death is not None and dead.lived and not dead.wanted:
        reason = dead.death.reason.partition("\n")[0]
        verdicts = state.messages.judge_death(reason, now.date)
        return _settle(state, Settle(Settlement(verdicts), now.date, DeathJudged(idle)), now, ())
    return _end_runner(state, now, idle=idle)


def _end_runner(state: SessionState, now: Moment, *, idle: bool) -> Decisions:
    """End a runner whose death is settled. A useless run delays the next one; after several, tell users."""
    dead, useful, effects = state.runner.condition, state.runner.useful, tuple[Effect, ...]()
    assert isinstance(dead, Dead)  # noqa: S101 -- no runner starts before the last death is settled
    state = evolve(state, messages=state.messages.unclaimed(), runner=state.runner.settled())
    if not useful and dead.death is not None and dead.stopped not in WANTED:
        longest_s = HINDERED_BACKOFF_S if dead.hindered else MAX_BACKOFF_S
        state, effects = count_failure(state, dead.death.reason, now, longest_s)
    if idle and not dead.hindered and state.runner.failures == state.rules.max_tries:
        reason = (state.runner.last_failure or "").partition("\n")[0]
        return Decisions(state, effects, TellOfDelay(state.messages.waiting(now.date), reason))
    return _with(effects, _tell_of_breaker(state, now))


def _with_runner(state: SessionState, *, unclaimed_since: float | None) -> SessionState:
    return evolve(state, runner=evolve(state.runner, unclaimed_since=unclaimed_since))
