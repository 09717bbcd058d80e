"""Verdicts on messages: acks, deaths and time under the rules of contract 4."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.session.messages import Completed, Failed, Messages, Retry, Verdict
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Ack, AckStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE_S, MAX_TRIES = 5.0, 5


def message(
    seq: int = 2, tries: int = 0, after: datetime | None = None, *, trigger: bool = True
) -> OpenMessage:
    return OpenMessage(f"in-{seq}", seq, tries, after, trigger, None, None)


def ack(status: AckStatus, attempt: int | None = 0, retry_at: datetime | None = None, seq: int = 2) -> Ack:
    return Ack(f"in-{seq}", status, attempt, retry_at, None)


def pending(*messages: OpenMessage) -> Messages:
    return Messages(BASE_S, MAX_TRIES).add(messages)


def verdicts(messages: Messages, *acks: Ack) -> tuple[Verdict, ...]:
    return messages.judge(acks, NOW)[1]


def kinds(verdicts: Sequence[Verdict]) -> list[type]:
    return [type(verdict) for verdict in verdicts]


def test_an_ack_of_the_current_attempt_decides() -> None:
    for status, verdict in [("completed", Completed), ("failed", Failed), ("released", Retry)]:
        assert kinds(verdicts(pending(message()), ack(status))) == [verdict]  # type: ignore[arg-type]  # the list's


def test_an_ack_without_an_attempt_is_of_the_current_one() -> None:
    assert kinds(verdicts(pending(message(tries=3)), ack("completed", None))) == [Completed]


def test_an_ack_of_another_attempt_or_message_decides_nothing() -> None:
    acks = [ack("completed", 0), ack("processing", 0), ack("completed", seq=4)]
    open_, decided = pending(message(tries=1)).judge(acks, NOW)
    assert (decided, open_.claimed) == ((), {})


def test_a_claim_decides_nothing_until_its_runner_dies() -> None:
    open_, decided = pending(message(2), message(4)).judge([ack("processing")], NOW)
    assert decided == ()
    [verdict] = open_.judge_death("killed", NOW)
    assert verdict == Retry(message(2), 1, NOW + timedelta(seconds=BASE_S * 2), "killed")


def test_a_release_sets_the_time_of_the_next_try() -> None:
    at = NOW + timedelta(hours=1)
    [verdict] = verdicts(pending(message()), ack("released", retry_at=at))
    assert isinstance(verdict, Retry)
    assert verdict.after == at


@given(st.integers(0, 10))
def test_each_try_waits_twice_as_long_and_the_last_one_fails(tries: int) -> None:
    open_, _ = pending(message(tries=tries)).judge([ack("processing", tries)], NOW)
    [verdict] = open_.judge_death("killed", NOW)
    if tries + 1 >= MAX_TRIES:
        assert verdict == Failed(message(tries=tries), "killed")
    else:
        after = NOW + timedelta(seconds=BASE_S * 2 ** (tries + 1))
        assert verdict == Retry(message(tries=tries), tries + 1, after, "killed")


def test_committed_verdicts_are_applied() -> None:
    open_, decided = pending(message(2), message(4)).judge([ack("released"), ack("completed", seq=4)], NOW)
    open_ = open_.apply(decided)
    after = NOW + timedelta(seconds=BASE_S * 2)
    assert open_.open == {"in-2": message(2, 1, after)}
    assert not open_.wanted(NOW)
    assert open_.next_due(NOW) == after
    assert open_.wanted(after)


def test_context_alone_wants_no_runner() -> None:
    assert not pending(message(trigger=False)).wanted(NOW)
    assert pending(message(2, trigger=False), message(4)).wanted(NOW)


MESSAGES = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(-5, 5)), st.booleans()), max_size=8
)


@given(MESSAGES)
def test_there_is_work_at_the_next_due_time(rows: list[tuple[int, int | None, bool]]) -> None:
    messages = [
        evolve(
            message(2 * n + 2, tries, trigger=trigger),
            process_after=None if after is None else NOW + timedelta(seconds=after),
        )
        for n, (tries, after, trigger) in enumerate(rows)
    ]
    open_ = pending(*messages)
    due = open_.next_due(NOW)
    assert due is None or open_.wanted(due)
    later = [m.process_after for m in messages if m.trigger and m.process_after and m.process_after > NOW]
    assert due == min(later, default=None)
    assert open_.wanted(NOW) == any(m.trigger and m.due(NOW) for m in messages)


def test_acks_are_asked_for_the_oldest_thousand() -> None:
    open_ = pending(*[message(2 * n) for n in range(1, 1200)])
    assert list(open_.ids(NOW)) == [f"in-{2 * n}" for n in range(1, 1001)]


def test_acks_of_triggers_are_read_before_those_of_context() -> None:
    context = [message(2 * n, trigger=False) for n in range(1, 1200)]
    ids = pending(*context, message(2400), message(2402)).ids(NOW)
    assert list(ids[:3]) == ["in-2400", "in-2402", "in-2"]
    assert len(ids) == 1000


def test_acks_of_messages_that_wait_for_a_retry_are_read_too() -> None:
    later = NOW + timedelta(seconds=20)
    assert list(pending(message(2, 0, later), message(4, 2, later)).ids(NOW)) == ["in-4"]
