"""The decisions of a session, event by event, without files, clocks or tasks."""

from datetime import timedelta

import pytest
from attrs import evolve

from nanoclaw.records import AGENT, Address, Receipt
from nanoclaw.runtimes import Death, Hindered
from nanoclaw.session import needs
from nanoclaw.session.decisions import (
    Attempt,
    Finish,
    HandOver,
    Log,
    ReadOutbound,
    RecoverOutbound,
    Retire,
    Settle,
    ShowTyping,
    StartRunner,
    Step,
    StopRunner,
    TellLooked,
    TellOfDelay,
    TellQuarantined,
    TellSettled,
    Wake,
)
from nanoclaw.session.events import (
    Adopted,
    Attempted,
    Closing,
    Committed,
    Ending,
    Event,
    FileDamaged,
    FileHot,
    FileLocked,
    FileUnavailable,
    FinishCommitted,
    InboundBlocked,
    Looked,
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
from nanoclaw.session.finishing import AttemptEnded
from nanoclaw.session.messages import Completed, Failed, Retry
from nanoclaw.session.outcomes import Delivered, DeliveryRefused, Later, Result, Undeliverable
from nanoclaw.session.runner import (
    HINDERED_BACKOFF_S,
    MAX_BACKOFF_S,
    STUCK_S,
    Absent,
    Dead,
    Recovering,
    Running,
    Starting,
    Stopping,
)
from nanoclaw.session.state import HotJournal, Locked, Moment, Outdated, Quarantined, Readable, Unavailable
from nanoclaw.session.transactions import SettlementOutcome
from nanoclaw.store.session.deliveries import LedgerEntry
from nanoclaw.store.session.outbound import Look, invalid_row
from tests.host.sessions import CHAT, RULES, START, Session, ack, look, message, row

KILLED = Death(orderly=False, reason="killed\nat once")
LEFT = Death(orderly=True, reason="left")
NOTHING = Looked(look())


def looks(session: Session, seen: Look | None = None) -> Step | None:
    """Run a whole round with this look, and commit its decisions."""
    assert session.meets(RoundBegan(None)) == ReadOutbound()
    return session.settles(Looked(seen or look()))


def at_work(*seqs: int) -> Session:
    """Return a session whose runner works on messages."""
    session = Session.initial(*[message(seq) for seq in seqs])
    looks(session)
    session.meets(Ticked())
    session.meets(RunnerStarted())
    looks(session, look(acks=[ack("processing", seq) for seq in seqs]))
    return session


# -- a runner starts only after the acks of the last one are settled -------------


def test_no_runner_is_started_before_the_first_look() -> None:
    session = Session.initial(message())
    session.meets(Ticked())
    assert session.said(StartRunner) == []
    looks(session)
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]
    assert session.runner() == Starting()


@pytest.mark.parametrize(
    ("event", "file"),
    [
        (FileLocked("busy"), Locked("busy")),
        (FileUnavailable("no descriptors"), Unavailable("no descriptors")),
        (FileHot("hot"), HotJournal("hot")),
        (FileDamaged("bad"), Quarantined("bad")),
    ],
)
def test_a_file_that_shows_nothing_starts_no_runner(event: Event, file: object) -> None:
    session = Session.initial(message())
    session.meets(RoundBegan(None))
    session.settles(event)
    session.meets(Ticked())
    assert (session.file(), session.said(StartRunner)) == (file, [])


def test_after_a_death_the_order_is_recover_read_settle_start() -> None:
    session = at_work(2)
    session.meets(RunnerEnded(KILLED))
    assert session.said(Wake) == [Wake()]
    # recover
    assert session.meets(RoundBegan(None)) == ReadOutbound()
    assert session.meets(FileHot("hot")) is None
    assert session.said(RecoverOutbound) == [RecoverOutbound()]
    session.meets(Ticked())
    assert session.said(StartRunner) == []
    assert session.meets(RoundBegan(None)) is None, "nobody reads meanwhile"
    session.meets(RecoveryEnded())
    # read
    assert session.meets(RoundBegan(None)) == ReadOutbound()
    step = session.meets(Looked(look(acks=[ack("processing")])))
    # settle
    after = START + timedelta(seconds=10)
    assert isinstance(step, Settle)
    assert step.settlement.verdicts == (Retry(message(), 1, after, "killed"),)
    session.meets(Ticked())
    assert session.said(StartRunner) == [], "not before that is on disk"
    session.meets(Committed(step, SettlementOutcome()))
    # start
    assert session.runner() == Absent(lived=True)
    session.at_s = 10
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]


def test_messages_that_a_runner_finished_before_its_death_cost_no_try() -> None:
    session = at_work(2, 4)
    session.meets(RunnerEnded(KILLED))
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look(acks=[ack("completed", 2), ack("processing", 4)])))
    assert isinstance(step, Settle)
    assert [type(each) for each in step.settlement.verdicts] == [Completed]
    step = session.meets(Committed(step, SettlementOutcome()))
    assert isinstance(step, Settle)
    assert [each.message.id for each in step.settlement.verdicts] == ["in-4"]


def test_a_death_during_a_look_is_settled_by_the_next_one() -> None:
    session = at_work(2)
    session.meets(RoundBegan(None))
    session.meets(RunnerEnded(KILLED))
    assert session.settles(Looked(look(acks=[ack("processing")]))) is None
    assert session.runner() == Dead(KILLED, lived=True)
    looks(session, look(acks=[ack("processing")]))
    assert session.runner() == Absent(lived=True)


@pytest.mark.parametrize(
    ("stop", "death", "tries"),
    [
        (StatusChanged("paused"), KILLED, 0),
        (Closing(), KILLED, 0),
        (InboundBlocked(), KILLED, 1),
        (FileDamaged("bad"), KILLED, 1),
        (Stored(()), LEFT, 0),
        (Stored(()), KILLED, 1),
    ],
)
def test_only_a_death_that_was_wanted_costs_no_try(stop: Event, death: Death, tries: int) -> None:
    session = at_work(2)
    session.settles(stop)
    session.meets(RunnerEnded(death))
    if session.state.outbound.quarantined is None:
        looks(session, look(acks=[ack("processing")]))
    else:
        session.settles(RoundBegan(None))
    assert session.state.messages.open["in-2"].tries == tries


def test_claims_of_a_runner_before_cost_no_try() -> None:
    session = Session.initial(message())
    looks(session, look(acks=[ack("processing")]))
    session.meets(Ticked())
    session.meets(RunnerStarted())
    session.meets(RunnerEnded(KILLED))
    looks(session, look(acks=[ack("processing")]))
    assert session.state.messages.open["in-2"].tries == 0


# -- hot journals, locks, damage ------------------------------------------------


def test_a_living_runner_rolls_its_journal_back_itself() -> None:
    session = at_work(2)
    session.meets(RoundBegan(None))
    session.settles(FileHot("hot"))
    assert session.said(RecoverOutbound) == []


def test_a_recovery_that_was_of_no_use_delays_the_next_one() -> None:
    session = Session.initial(message())
    for recovers in (True, False):
        session.meets(RoundBegan(None))
        session.settles(FileHot("hot"))
        assert bool(session.said(RecoverOutbound)) is recovers
        if recovers:
            assert session.runner() == Recovering(Absent())
            session.meets(RecoveryEnded())
    assert (session.state.runner.failures, session.state.runner.not_before) == (1, 1.0)


def test_a_recovery_that_cannot_start_counts_as_a_failure() -> None:
    session = Session.initial(message())
    session.meets(RoundBegan(None))
    session.settles(FileHot("hot"))
    session.meets(RecoveryEnded("no engine"))
    assert (session.state.runner.failures, session.state.runner.last_failure) == (1, "no engine")


def test_damage_stops_the_runner_and_is_reported() -> None:
    session = at_work(2)
    session.meets(RoundBegan(None))
    session.settles(FileDamaged("bad"))
    assert session.said(TellQuarantined) == [TellQuarantined("bad")]
    assert session.said(StopRunner) == [StopRunner()]
    assert session.settles(RoundBegan(None)) is None, "nothing more is read"


def test_another_builds_file_needs_a_runner_even_without_work() -> None:
    session = Session.initial()
    looks(session, look(outdated=True))
    assert session.file() == Outdated()
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]
    session.meets(RunnerStarted())
    session.meets(RoundBegan(None))
    session.settles(FileLocked("the runner migrates it"))
    assert session.file() == Locked("the runner migrates it", outdated=True)
    looks(session)
    assert session.file() == Readable()


def test_deliveries_continue_while_the_file_is_locked() -> None:
    session = at_work(2)
    looks(session, look(row(1), row(3)))
    [given] = session.said(HandOver)
    session.settles(Attempted(given.delivery, Later("busy", START + timedelta(seconds=5))))
    session.at_s = 5
    session.meets(RoundBegan(None))
    step = session.meets(FileLocked("busy"))
    assert isinstance(step, Settle)
    assert step.settlement.begun is not None
    assert step.settlement.begun.row == row(1)


# -- the system fails for now -------------------------------------------------------


def test_a_file_that_the_system_cannot_serve_is_read_again_each_second_and_logged_more_rarely() -> None:
    session, logged = Session.initial(message()), list[int]()
    for tries in range(1, 17):
        session.meets(RoundBegan(None))
        session.settles(FileUnavailable("no descriptors"))
        logged += [tries] * len(session.said(Log))
        assert needs.sleep_s(session.state, Moment(START, session.at_s)) == 1.0
        session.at_s += 1
    assert logged == [1, 2, 4, 8, 16]
    looks(session)
    assert session.file() == Readable()
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]


def test_a_start_that_the_system_hinders_is_tried_again_soon_and_no_user_is_told() -> None:
    session = Session.initial(message())
    hindered = Hindered(orderly=False, reason="no descriptors")
    for _ in range(RULES.max_tries + 2):
        looks(session)
        session.meets(Ticked())
        assert session.said(StartRunner) == [StartRunner()]
        session.meets(RunnerEnded(hindered))
        looks(session)
        assert session.said(TellOfDelay) == []
        session.at_s += HINDERED_BACKOFF_S
    assert session.state.messages.open["in-2"].tries == 0


def test_when_descriptors_are_exhausted_only_a_runner_without_work_is_stopped() -> None:
    busy = at_work(2)
    busy.meets(ReleaseAsked())
    assert busy.said(StopRunner) == []
    looks(busy, look(acks=[ack("completed")]))
    busy.meets(ReleaseAsked())
    assert busy.said(StopRunner) == [StopRunner()]


def test_a_runner_with_an_old_configuration_ends_after_its_turn() -> None:
    session = at_work(2)
    session.meets(RenewalAsked())
    session.meets(Ticked())
    assert session.said(StopRunner) == []
    looks(session, look(acks=[ack("completed")]))
    session.meets(Ticked())
    assert session.said(StopRunner) == [StopRunner()]
    assert session.state.runner.outdated, "it has not ended yet"
    session.meets(RunnerEnded(LEFT))
    assert not session.state.runner.outdated


def test_a_runner_that_starts_after_a_change_is_not_ended() -> None:
    session = Session.initial(message(2))
    session.meets(RenewalAsked())
    looks(session, look())
    session.meets(Ticked())
    assert not session.state.runner.outdated


# -- an attempt is on disk before its receiver is asked ---------------------------


def test_an_attempt_is_recorded_before_its_receiver_is_asked() -> None:
    session = Session.initial()
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look(row(1))))
    assert isinstance(step, Settle)
    assert step.settlement.begun is not None
    assert session.said(HandOver) == []
    session.meets(Committed(step, SettlementOutcome()))
    assert [each.delivery.row for each in session.said(HandOver)] == [row(1)]


def test_the_end_of_an_attempt_and_the_start_of_the_next_are_one_commit() -> None:
    session = Session.initial()
    looks(session, look(row(1), row(3)))
    [given] = session.said(HandOver)
    step = session.meets(Attempted(given.delivery, Delivered(Receipt("p"))))
    assert isinstance(step, Finish)
    assert step.begun is not None
    assert step.begun.row == row(3)
    assert session.meets(FinishCommitted(step, AttemptEnded(begun=True))) == Attempt(step.begun)


def test_an_attempt_whose_start_could_not_be_recorded_is_not_made() -> None:
    session = Session.initial()
    looks(session, look(row(1), row(3)))
    [given] = session.said(HandOver)
    step = session.meets(Attempted(given.delivery, Delivered(Receipt("p"))))
    assert isinstance(step, Finish)
    assert session.meets(FinishCommitted(step, AttemptEnded(begun=False))) is None
    assert session.said(Wake) == [Wake()]
    assert [each.attempts for each in session.state.deliveries.queue.waiting] == [0]


def test_a_row_whose_id_was_used_before_is_handed_over_as_a_bad_one() -> None:
    session = Session.initial()
    session.meets(RoundBegan(None))
    again, bad = row(1), invalid_row(1, "id out-1 was used before")
    step = session.meets(Looked(look(again)))
    assert isinstance(step, Settle)
    session.meets(Committed(step, SettlementOutcome(bad=((again, bad),))))
    [given] = session.said(HandOver)
    assert given.delivery.row == bad
    assert given.delivery == session.state.deliveries.queue.in_flight


def test_an_action_that_has_become_a_bad_row_goes_the_way_of_bad_rows() -> None:
    session = Session.initial()
    session.meets(RoundBegan(None))
    asks, bad = evolve(row(1), kind="system"), invalid_row(1, "id out-1 was used before")
    step = session.meets(Looked(look(asks)))
    assert isinstance(step, Settle)
    assert [each.row for each in step.settlement.actions] == [asks]
    session.meets(Committed(step, SettlementOutcome(bad=((asks, bad),))))
    assert session.said(Wake) == [Wake()]
    assert [each.row for each in session.state.deliveries.queue.waiting] == [bad]


def test_an_attempt_that_was_cut_off_follows_the_channels_policy() -> None:
    entry = LedgerEntry("out-1", 1, "sending", 1, None)
    session = Session.initial(ledger=[entry])
    session.meets(RoundBegan(None))
    step = session.meets(Looked(Look((), (row(1),), (), 0.0, looked_for=("out-1",))))
    assert isinstance(step, Settle)
    assert len(step.settlement.doubts) == 1
    assert step.settlement.begun is not None
    assert (step.settlement.begun.doubts, step.settlement.begun.attempts) == (1, 2)
    session = Session.initial(ledger=[evolve(entry, doubts=1)])
    session.meets(RoundBegan(None))
    step = session.meets(Looked(Look((), (row(1),), (), 0.0, looked_for=("out-1",))))
    assert isinstance(step, Settle)
    assert isinstance(step.settlement.doubts[0].result, Undeliverable)
    assert step.settlement.begun is None


def test_an_ending_session_begins_no_attempt() -> None:
    session = Session.initial()
    looks(session, look(row(1), row(3)))
    [given] = session.said(HandOver)
    session.meets(Ending())
    step = session.meets(Attempted(given.delivery, Delivered(Receipt("p"))))
    assert isinstance(step, Finish)
    assert step.begun is None


# -- rows that go to agents and to the host -----------------------------------------


def test_a_request_that_the_host_performs_is_a_delivery_like_any_other() -> None:
    session = Session.initial()
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look(evolve(row(1), kind="system"))))
    assert isinstance(step, Settle)
    [asked] = step.settlement.actions
    session.meets(Committed(step, SettlementOutcome(handed_on=(asked,))))
    assert (session.said(HandOver), session.said(Wake)) == ([], [Wake()])
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look()))
    assert isinstance(step, Settle)
    assert step.settlement.actions == ()
    assert step.settlement.begun == evolve(asked, by_host=True, attempts=1)


@pytest.mark.parametrize("to_agent", [True, False])
def test_an_attempt_that_was_cut_off_is_repeated_where_that_is_harmless(to_agent: bool) -> None:  # noqa: FBT001 -- parametrized
    again = evolve(row(1), address=Address(AGENT, "ag-1")) if to_agent else evolve(row(1), kind="system")
    session = Session.initial(ledger=[LedgerEntry("out-1", 1, "sending", 99, None, doubts=99)])
    session.meets(RoundBegan(None))
    step = session.meets(Looked(Look((), (again,), (), 0.0, looked_for=("out-1",))))
    assert isinstance(step, Settle)
    assert [type(each.result) for each in step.settlement.doubts] == [Later]
    given = [*step.settlement.actions, *([step.settlement.begun] if step.settlement.begun else [])]
    assert [(each.row, each.doubts) for each in given] == [(again, 99)]


# -- what is told ----------------------------------------------------------------


def test_the_observer_is_called_before_the_session_acts_on_a_look() -> None:
    session = Session.initial()
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look(row(1))))
    assert isinstance(step, Settle)
    assert session.effects == [TellLooked(look(row(1)), START)]


def test_typing_is_shown_once_a_claim_is_committed() -> None:
    session = Session.initial(message())
    looks(session, look(acks=[ack("processing")]))
    assert session.said(ShowTyping) == [ShowTyping(CHAT)]
    looks(session, look(acks=[ack("processing")]))
    assert session.said(ShowTyping) == []


def test_a_message_is_done_with_once_its_replies_are_final() -> None:
    session = Session.initial(message())
    looks(session, look(row(1), acks=[ack("completed")]))
    assert session.said(TellSettled) == []
    [given] = session.said(HandOver)
    session.settles(Attempted(given.delivery, Delivered(Receipt("p"))))
    assert session.said(TellSettled) == [TellSettled(CHAT, "p-2", "completed")]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (DeliveryRefused("the row breaks the contract"), "failed"),
        (Undeliverable("the channel refuses it"), "failed"),
        (Undeliverable("perhaps", doubtful=True), "completed"),
        (Delivered(Receipt("p-1")), "completed"),
    ],
)
def test_a_message_whose_answer_is_lost_has_failed_for_its_user(result: Result, outcome: str) -> None:
    session = at_work(2)
    looks(session, look(row(1, "in-2"), acks=[ack("completed", 2)]))
    [given] = session.said(HandOver)
    assert given.delivery.reply_to is not None
    session.settles(Attempted(given.delivery, result))
    assert [told.outcome for told in session.said(TellSettled)] == [outcome]


def test_users_are_told_when_no_runner_has_claimed_a_message() -> None:
    session = Session.initial(message())
    looks(session)
    steps = []
    for _ in range(4):
        session.at_s += 60
        session.meets(Ticked())
        session.meets(RunnerEnded(Death(orderly=False, reason="no engine\nat all")))
        session.meets(RoundBegan(None))
        steps.append(session.meets(NOTHING))
    assert steps == [None, None, TellOfDelay((message(),), "no engine"), None]


# -- stop, retire, sleep ----------------------------------------------------------


def test_a_stop_before_the_runner_is_up_is_passed_on_once_it_is() -> None:
    session = Session.initial(message())
    looks(session)
    session.meets(Ticked())
    session.meets(Closing())
    assert session.runner() == Stopping("shutdown", up=False)
    session.meets(RunnerStarted())
    assert session.said(StopRunner) == [StopRunner()]


def test_a_runner_whose_heartbeat_stands_still_is_stopped() -> None:
    session = at_work(2)
    for seconds, heartbeat, stopped in [(30, 1, False), (89, 1, False), (91, 1, True)]:
        session.at_s = seconds
        session.meets(RoundBegan(heartbeat))
        assert bool(session.said(StopRunner)) is stopped, seconds
        session.settles(Looked(look(acks=[ack("processing")])))
    assert session.runner() == Stopping("stuck", up=True)


def test_a_tool_may_take_as_long_as_it_declares() -> None:
    session = at_work(2)
    seen = evolve(look(acks=[ack("processing")]), tool_timeout_s=300.0)
    for seconds, stopped in [(50, False), (299, False), (301, True)]:
        session.at_s = seconds
        session.meets(RoundBegan(None))
        assert bool(session.said(StopRunner)) is stopped, seconds
        session.settles(Looked(seen))


def test_a_runner_that_leaves_work_unclaimed_is_stopped() -> None:
    session = Session.initial(message())
    looks(session)
    session.meets(Ticked())
    session.meets(RunnerStarted())
    looks(session)
    session.at_s = STUCK_S
    looks(session)
    assert session.runner() == Running()
    session.at_s = STUCK_S + 1
    session.meets(RoundBegan(None))
    assert session.said(StopRunner) == [StopRunner()]


def test_an_idle_runner_is_stopped_and_the_session_retires_after_it() -> None:
    session = at_work(2)
    looks(session, look(acks=[ack("completed")]))
    session.at_s = 600
    session.meets(Ticked())
    assert session.said(StopRunner) == [StopRunner()]
    session.meets(RunnerEnded(LEFT))
    looks(session)
    session.meets(RoundEnded())
    assert session.said(Retire) == [Retire()]


def test_an_adopted_runner_of_a_paused_session_is_stopped() -> None:
    session = Session.initial()
    session.meets(StatusChanged("paused"))
    session.meets(Adopted())
    assert session.said(StartRunner) == [StartRunner()]
    assert session.runner() == Stopping("shutdown", up=False)


def test_a_paused_session_starts_no_runner() -> None:
    session = Session.initial(message())
    session.meets(StatusChanged("paused"))
    looks(session)
    session.meets(Ticked())
    assert session.said(StartRunner) == []


def test_a_runner_that_an_administrator_stops_is_followed_by_another_one() -> None:
    session = at_work(2)
    session.meets(RestartAsked())
    assert session.said(StopRunner) == [StopRunner()]
    session.meets(RunnerEnded(LEFT))
    looks(session, look(acks=[ack("processing")]))
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]
    assert session.state.messages.open["in-2"].tries == 0


def test_a_restart_waits_for_no_backoff() -> None:
    session = Session.initial(message(2))
    failed = session.state.runner.failed("broken", 60.0, 0.0)
    session.state = evolve(session.state, runner=failed)
    session.meets(RestartAsked())
    assert (session.state.runner.failures, session.state.runner.may_start(0.0)) == (0, True)


def test_tasks_that_an_administrator_changes_are_followed() -> None:
    session = Session.initial(message(2), message(4))
    session.meets(TasksChanged([message(6)], ["in-2"]))
    assert list(session.state.messages.open) == ["in-4", "in-6"]


def test_a_failed_message_is_reported() -> None:
    session = Session.initial(message(tries=2))
    looks(session)
    session.meets(Ticked())
    session.meets(RunnerStarted())
    session.meets(RoundBegan(None))
    step = session.meets(Looked(look(acks=[ack("released", attempt=2)])))
    assert isinstance(step, Settle)
    assert [type(each) for each in step.settlement.verdicts] == [Failed]


def sleeps(session: Session) -> float:
    return needs.sleep_s(session.state, Moment(START + timedelta(seconds=session.at_s), session.at_s))


def test_a_session_sleeps_until_its_message_is_due() -> None:
    session = Session.initial(message(tries=1, after_s=10))
    looks(session)
    session.meets(Ticked())
    assert (session.said(StartRunner), sleeps(session)) == ([], 10.0)


def test_a_message_that_becomes_due_between_two_looks_at_the_clock_is_not_slept_over() -> None:
    session = Session.initial(message(tries=1, after_s=30))
    looks(session)
    session.at_s = 29.999
    session.meets(Ticked())
    session.at_s = 30.001
    assert sleeps(session) <= needs.TICK_S


def test_a_session_sleeps_through_the_back_off_of_its_runner() -> None:
    session = Session.initial(message())
    looks(session)
    session.meets(Ticked())
    session.meets(RunnerEnded(KILLED))
    looks(session)
    session.meets(Ticked())
    assert (session.said(StartRunner), sleeps(session)) == ([], 1.0)
    session.at_s = 1
    session.meets(Ticked())
    assert session.said(StartRunner) == [StartRunner()]


# -- back-off --------------------------------------------------------------------


def test_each_useless_life_doubles_the_wait_up_to_a_minute() -> None:
    session, waits = Session.initial(message()), list[float]()
    looks(session)
    for _ in range(8):
        session.meets(Ticked())
        session.meets(RunnerEnded(KILLED))
        looks(session)
        waits.append(session.state.runner.not_before - session.at_s)
        session.at_s += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, MAX_BACKOFF_S, MAX_BACKOFF_S]


def test_a_useful_life_ends_the_wait() -> None:
    session = Session.initial(message(2), message(4))
    looks(session)
    for seen in (look(), look(acks=[ack("completed")])):
        session.at_s += 60
        session.meets(Ticked())
        session.meets(RunnerEnded(KILLED))
        looks(session, seen)
    assert (session.state.runner.failures, session.state.runner.last_failure) == (0, None)
