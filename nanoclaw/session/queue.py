"""The order of a session's deliveries, as plain values: by `seq` per address, one attempt in flight.

A row in back-off holds its own address and no other; a row that is deferred holds none. What an agent asks of
its session (kind `system`) goes to no address: it holds nothing, and nothing holds it.
"""

from bisect import insort_left
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from attrs import Factory, define

from nanoclaw.records import Address
from nanoclaw.store.outbound import InvalidRow, MessageOut
from nanoclaw.store.times import to_text

MAX_OPEN = 10_000
"""More rows than this are not read ahead: a container cannot fill the host's memory."""
MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Nor is more content."""


@define(eq=False)
class Delivery:
    """One outbound row on its way."""

    row: MessageOut | InvalidRow
    attempts: int = 0
    not_before: datetime | None = None
    """Back-off."""
    reply_to: str | None = None
    """The platform's id of the message it answers, where it is known."""
    reason: str | None = None
    """Why the last attempt did not deliver."""
    slot: datetime | None = None
    """Of a row that recurs: the moment this delivery stands for."""
    doubts: int = 0
    """Attempts whose outcome is unknown."""
    held: int = 0
    """How often, in this life, it had nowhere to go."""

    @property
    def id(self) -> str:
        """The idempotency key, and the name in the ledger: the row's id, of one that recurs with its slot."""
        return self.row.id if self.slot is None else f"{self.row.id}@{to_text(self.slot)}"

    @property
    def action(self) -> MessageOut | None:
        """The row, where it asks something of its session; None where it is for a chat."""
        return self.row if isinstance(self.row, MessageOut) and self.row.kind == "system" else None

    @property
    def address(self) -> Address | None:
        """Where it goes; None: the session's own chat, or nowhere."""
        return self.row.address if isinstance(self.row, MessageOut) else None

    @property
    def _wanted_at(self) -> datetime | None:
        """When the agent wants it sent; None: at once."""
        if self.slot is not None or not isinstance(self.row, MessageOut):
            return self.slot
        return self.row.deliver_after

    def deferred(self, now: datetime) -> bool:
        """Whether the agent wants it sent later."""
        return self._wanted_at is not None and self._wanted_at > now

    def due(self) -> datetime | None:
        """When it may go; None: at once."""
        times = [self.not_before, self._wanted_at]
        return max((time for time in times if time is not None), default=None)

    def is_due(self, now: datetime) -> bool:
        """Whether it may go now."""
        due = self.due()
        return due is None or due <= now


@define(eq=False)
class DeliveryQueue:
    """What is not final, by `seq`."""

    waiting: list[Delivery] = Factory(list)
    in_flight: Delivery | None = None

    def add(self, delivery: Delivery) -> None:
        """A row of the ledger; rows come in the order of `seq`."""
        self.waiting.append(delivery)
        if len(self.waiting) > 1 and self.waiting[-2].row.seq > delivery.row.seq:
            self.waiting.sort(key=lambda other: other.row.seq)

    @property
    def room(self) -> bool:
        """Whether more may be read."""
        if not self.waiting:
            return True
        size = sum(len(d.row.content) for d in self.waiting if isinstance(d.row, MessageOut))
        return len(self.waiting) < MAX_OPEN and size < MAX_OPEN_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self.waiting and self.in_flight is None

    def take(self, now: datetime) -> Delivery | None:
        """The next one to attempt, now in flight; None while another is, or none may go."""
        if self.in_flight is not None or not self.waiting:
            return None
        for delivery in self._heads(now):
            if delivery.is_due(now) and delivery.action is None:
                self.waiting.remove(delivery)
                delivery.attempts += 1
                self.in_flight = delivery
                return delivery
        return None

    def take_actions(self, now: datetime) -> list[Delivery]:
        """What the agent asks of its session, and is due: it is done at once, in the order of `seq`."""
        if not self.waiting:
            return []
        due = [each for each in self.waiting if each.action is not None and each.is_due(now)]
        if due:
            self.waiting = [each for each in self.waiting if each not in due]
        return due

    def finished(self) -> None:
        """The one in flight is final."""
        self.in_flight = None

    def postponed(self, not_before: datetime, reason: str, *, asked: bool = True) -> None:
        """The one in flight goes back, to its place; it was no attempt if nobody was asked."""
        delivery, self.in_flight = self.in_flight, None
        if delivery is not None:
            delivery.attempts -= not asked
            delivery.not_before, delivery.reason = not_before, reason
            insort_left(self.waiting, delivery, key=lambda other: other.row.seq)

    def next_due(self, now: datetime) -> datetime | None:
        """When the next attempt or action may begin; None: nothing waits for a time.

        While an attempt is in flight, its end brings the next look at those that wait for theirs.
        """
        if not self.waiting:
            return None
        heads = [head for head in self._heads(now) if head.action is not None or self.in_flight is None]
        return min((due for head in heads if (due := head.due()) is not None), default=None)

    def _heads(self, now: datetime) -> Iterator[Delivery]:
        """The first of each address, all that are deferred, all actions: those that no other one holds."""
        held = set[Address | None]()
        for delivery in self.waiting:
            if delivery.action is not None or delivery.deferred(now):
                yield delivery
            elif delivery.address not in held:
                held.add(delivery.address)
                yield delivery

    def oldest(self) -> Delivery | None:
        """The one with the lowest `seq`."""
        candidates = (self.in_flight, *self.waiting[:1])
        found = [delivery for delivery in candidates if delivery is not None]
        return min(found, key=lambda delivery: delivery.row.seq, default=None)

    def last_seq(self) -> int:
        """The highest `seq` that is not final; 0 if all are."""
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return max([*flying, *(each.row.seq for each in self.waiting[-1:])], default=0)

    def first_seq(self, now: datetime) -> int | None:
        """The lowest `seq` that is not final, of those that are not to be sent later."""
        waiting = (each.row.seq for each in self.waiting if not each.deferred(now))
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return min([*flying, *islice(waiting, 1)], default=None)
