"""The order of deliveries against a simple model: by `seq` per address, one in flight."""

from datetime import UTC, datetime, timedelta

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nanoclaw.records import Address
from nanoclaw.session.queue import Delivery, DeliveryQueue
from nanoclaw.store.session.outbound import InvalidRow, MessageOut

START = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = [None, Address("fake", "a"), Address("fake", "b"), Address("fake", "a", "thread")]


def row(seq: int, address: Address | None = None, deliver_after: datetime | None = None) -> MessageOut:
    return MessageOut(f"out-{seq}", seq, "chat", address, "{}", None, deliver_after)


class Queue(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = DeliveryQueue()
        self.now = START
        self.seqs = iter(range(1, 10_000, 2))
        self.open: dict[str, Delivery] = {}
        self.flying: str | None = None

    @rule(address=st.sampled_from(ADDRESSES), later=st.integers(0, 5), bad=st.booleans())
    def add(self, address: Address | None, later: int, bad: bool) -> None:  # noqa: FBT001 -- hypothesis
        seq = next(self.seqs)
        due = self.now + timedelta(seconds=later) if later else None
        delivery = Delivery(InvalidRow(f"out-{seq}", seq, "bad") if bad else row(seq, address, due))
        self.queue = self.queue.add([delivery])
        self.open[delivery.id] = delivery

    @rule(seconds=st.integers(0, 4))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def take(self) -> None:
        attempts = {id_: delivery.attempts for id_, delivery in self.open.items()}
        expected = self._expected()
        self.queue, taken = self.queue.take(self.now)
        assert (taken.id if taken else None) == expected
        if taken is not None:
            self.flying = taken.id
            self.open[taken.id] = taken
            assert taken.attempts == attempts[taken.id] + 1

    def _expected(self, at: datetime | None = None) -> str | None:
        """Return the first due row that no earlier row of its address blocks."""
        if self.flying is not None:
            return None
        now = at or self.now
        for delivery in sorted(self.open.values(), key=lambda each: each.row.seq):
            earlier = [
                each
                for each in self.open.values()
                if each.row.seq < delivery.row.seq
                and each.address == delivery.address
                and not each.deferred(now)
            ]
            due = delivery.due()
            free = delivery.deferred(now) or not earlier
            if free and (due is None or due <= now):
                return delivery.id
        return None

    @precondition(lambda self: self.flying is not None)
    @rule()
    def finish(self) -> None:
        self.queue = self.queue.finished()
        del self.open[self.flying or ""]
        self.flying = None

    @precondition(lambda self: self.flying is not None)
    @rule(seconds=st.integers(0, 5))
    def back_off(self, seconds: int) -> None:
        again = evolve(self.open[self.flying or ""], not_before=self.now + timedelta(seconds=seconds))
        self.queue, self.open[again.id] = self.queue.postponed(again), again
        self.flying = None

    @invariant()
    def it_knows_what_is_open(self) -> None:
        assert self.queue.empty == (not self.open)
        wanted = [d for d in self.open.values() if not d.deferred(self.now) or d.id == self.flying]
        assert self.queue.first_seq(self.now) == min((d.row.seq for d in wanted), default=None)

    @invariant()
    def whoever_sleeps_until_next_due_misses_nothing(self) -> None:
        due = self.queue.next_due(self.now)
        if self._expected() is not None or self.flying is not None:
            return
        assert (due is None) == (not self.open)
        for moment in [delivery.due() for delivery in self.open.values()]:
            if moment is not None and self.now < moment and (due is None or moment < due):
                assert self._expected(moment) is None


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.permutations(range(1, 9)))
def test_rows_that_come_in_any_order_leave_in_that_of_their_numbers(seqs: list[int]) -> None:
    queue, taken = DeliveryQueue().add(Delivery(row(seq)) for seq in seqs), list[int]()
    while (found := queue.take(START))[1] is not None:
        taken.append(found[1].row.seq)
        queue = found[0].finished()
    assert taken == sorted(seqs)


def test_of_two_with_one_number_the_first_keeps_its_place_when_it_is_postponed() -> None:
    later = START + timedelta(seconds=1)
    first, second = Delivery(row(2), reason="first"), Delivery(row(2), reason="second")
    queue, taken = DeliveryQueue().add([first, second]).take(START)
    assert taken
    assert taken == evolve(first, attempts=1)
    queue = queue.postponed(evolve(taken, not_before=later))
    assert queue.take(START)[1] is None
    again = queue.take(later)[1]
    assert again
    assert again.reason == "first"


def asking(seq: int, deliver_after: datetime | None = None) -> Delivery:
    return Delivery(evolve(row(seq, None, deliver_after), kind="system"))


def test_requests_to_the_session_neither_wait_nor_delay_others() -> None:
    later = START + timedelta(seconds=5)
    flying, ask, late, reply = Delivery(row(1)), asking(3), asking(5, later), Delivery(row(7))
    queue, taken = DeliveryQueue().add([flying, ask, late, reply]).take(START)
    assert taken == evolve(flying, attempts=1)
    queue, actions = queue.take_actions(START)
    assert (actions, queue.next_due(START)) == ((ask,), later)
    queue, taken = queue.finished().take(START)
    assert taken == evolve(reply, attempts=1)
    assert queue.finished().take(later)[1] is None
    queue, actions = queue.finished().take_actions(later)
    assert (actions, queue.empty) == ((late,), True)


def test_of_two_equal_rows_one_is_taken() -> None:
    queue, taken = DeliveryQueue().add([Delivery(row(1)), Delivery(row(1))]).take(START)
    assert taken
    assert queue.waiting == (Delivery(row(1)),)


def test_a_row_that_recurs_has_its_slot_in_its_key_and_goes_then() -> None:
    delivery = Delivery(evolve(row(1), recurrence="@daily"), slot=START)
    assert delivery.id == "out-1@2026-01-01T00:00:00.000Z"
    assert (delivery.due(), delivery.is_due(START)) == (START, True)
    assert delivery.deferred(START - timedelta(seconds=1))


def test_an_unattended_address_waits_without_a_due_time_and_blocks_no_other_one() -> None:
    chat, other = Address("cli", "terminal"), Address("fake", "a")
    queue, first = DeliveryQueue().add([Delivery(row(1, chat)), Delivery(row(3, other))]).take(START)
    assert first is not None
    queue, second = queue.held(evolve(first, attempts=0)).take(START)
    assert second is not None
    assert second.address == other
    queue = queue.finished()
    assert (queue.take(START)[1], queue.next_due(START)) == (None, None)
    taken = queue.attended(chat, is_own=False).take(START)[1]
    assert taken is not None
    assert (taken.id, taken.attempts) == (first.id, 1)


def test_somebody_who_comes_during_the_attempt_ends_the_hold() -> None:
    queue, taken = DeliveryQueue().add([Delivery(row(1))]).take(START)
    assert taken is not None
    queue = queue.attended(Address("cli", "terminal"), is_own=True).held(taken)
    assert queue.take(START)[1] is not None
