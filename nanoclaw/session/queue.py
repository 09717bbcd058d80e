"""The order of a session's deliveries, as plain values: by `seq` per address, one attempt in flight.

A row in back-off holds its own address and no other; a row that is deferred holds none.
"""

from collections.abc import Iterator
from datetime import datetime

from attrs import Factory, define

from nanoclaw.records import Address
from nanoclaw.store.outbound import BadRow, MessageOut

MAX_OPEN = 1000
"""More rows than this are not read ahead: a container cannot fill the host's memory."""
MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Nor is more content."""


@define(eq=False)
class Delivery:
    """One outbound row on its way."""

    row: MessageOut | BadRow
    attempts: int = 0
    not_before: datetime | None = None
    """Back-off."""
    reply_to: str | None = None
    """The platform's id of the message it answers, where it is known."""
    reason: str | None = None
    """Why the last attempt did not deliver."""

    @property
    def id(self) -> str:
        """The idempotency key."""
        return self.row.id

    @property
    def address(self) -> Address | None:
        """Where it goes; None: the session's own chat, or nowhere."""
        return self.row.address if isinstance(self.row, MessageOut) else None

    def deferred(self, now: datetime) -> bool:
        """Whether the agent wants it sent later."""
        return isinstance(self.row, MessageOut) and bool(
            self.row.deliver_after and self.row.deliver_after > now
        )

    def due(self) -> datetime | None:
        """When it may go; None: at once."""
        times = [self.not_before, self.row.deliver_after if isinstance(self.row, MessageOut) else None]
        return max((time for time in times if time is not None), default=None)


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
        size = sum(len(d.row.content) for d in self.waiting if isinstance(d.row, MessageOut))
        return len(self.waiting) < MAX_OPEN and size < MAX_OPEN_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self.waiting and self.in_flight is None

    def take(self, now: datetime) -> Delivery | None:
        """The next one to attempt, now in flight; None while another is, or none may go."""
        if self.in_flight is not None:
            return None
        for delivery in self._heads(now):
            due = delivery.due()
            if due is None or due <= now:
                self.waiting.remove(delivery)
                delivery.attempts += 1
                self.in_flight = delivery
                return delivery
        return None

    def finished(self) -> None:
        """The one in flight is final."""
        self.in_flight = None

    def postponed(self, not_before: datetime, reason: str) -> None:
        """The one in flight goes back, to its place."""
        delivery, self.in_flight = self.in_flight, None
        if delivery is not None:
            delivery.not_before, delivery.reason = not_before, reason
            self.waiting.append(delivery)
            self.waiting.sort(key=lambda other: other.row.seq)

    def next_due(self, now: datetime) -> datetime | None:
        """When the next attempt may begin; None: nothing waits for a time, or an attempt is in flight."""
        if self.in_flight is not None:
            return None
        return min(
            (due for delivery in self._heads(now) if (due := delivery.due()) is not None), default=None
        )

    def _heads(self, now: datetime) -> Iterator[Delivery]:
        """The first of each address, and all that are deferred: those that no other one holds."""
        held = set[Address | None]()
        for delivery in self.waiting:
            if delivery.deferred(now):
                yield delivery
            elif delivery.address not in held:
                held.add(delivery.address)
                yield delivery

    def oldest(self) -> Delivery | None:
        """The one with the lowest `seq`."""
        candidates = (self.in_flight, *self.waiting[:1])
        found = [delivery for delivery in candidates if delivery is not None]
        return min(found, key=lambda delivery: delivery.row.seq, default=None)

    def first_seq(self) -> int | None:
        """The lowest `seq` that is not final."""
        oldest = self.oldest()
        return None if oldest is None else oldest.row.seq
