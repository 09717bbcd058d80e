"""The order of a session's deliveries, as frozen values: by `seq` per address, one attempt in flight.

A row in back-off holds its own address and no other; a row that is deferred holds none. A request of the
agent to its session or to the host (kind `system`) goes to no address: it neither holds nor is held.
"""

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from attrs import evolve, frozen

from nanoclaw.records import AGENT, Address
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.outbound import InvalidRow, MessageOut

MAX_OPEN = 10_000
"""More rows than this are not read ahead: a container cannot fill the host's memory."""
MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Nor is more content."""


@frozen
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
    by_host: bool = False
    """Whether it is a request that an executor of the host performs, and not the session."""

    @property
    def id(self) -> str:
        """The idempotency key, and the name in the ledger: the row's id, of one that recurs with its slot."""
        return self.row.id if self.slot is None else f"{self.row.id}@{to_text(self.slot)}"

    @property
    def action(self) -> MessageOut | None:
        """The row, where it asks something of its session; None where it is for somebody else."""
        return self.row if isinstance(self.row, MessageOut) and self.is_request and not self.by_host else None

    @property
    def is_request(self) -> bool:
        """Say whether it is a request, to the session or to the host: such rows go to no address."""
        return isinstance(self.row, MessageOut) and self.row.kind == "system"

    @property
    def repeatable(self) -> bool:
        """Say whether another attempt is harmless: agents and the host know a delivery by its id."""
        return self.is_request or (self.address is not None and self.address.channel_type == AGENT)

    @property
    def address(self) -> Address | None:
        """The row's address. None: the session's own chat, or nowhere."""
        return self.row.address if isinstance(self.row, MessageOut) else None

    @property
    def _wanted_at(self) -> datetime | None:
        """The moment at which the agent wants it sent. None: at once."""
        if self.slot is not None or not isinstance(self.row, MessageOut):
            return self.slot
        return self.row.deliver_after

    def deferred(self, now: datetime) -> bool:
        """Say whether the agent wants it sent later."""
        return self._wanted_at is not None and self._wanted_at > now

    def due(self) -> datetime | None:
        """Return when it may go. None: at once."""
        times = [self.not_before, self._wanted_at]
        return max((time for time in times if time is not None), default=None)

    def is_due(self, now: datetime) -> bool:
        """Say whether it may go now."""
        due = self.due()
        return due is None or due <= now


@frozen
class DeliveryQueue:
    """The deliveries that are not final, by `seq`."""

    waiting: tuple[Delivery, ...] = ()
    in_flight: Delivery | None = None

    def add(self, deliveries: Iterable[Delivery]) -> "DeliveryQueue":
        """Append rows of the ledger, each of which takes its place in the order of `seq`."""
        waiting = (*self.waiting, *deliveries)
        if any(waiting[n].row.seq > waiting[n + 1].row.seq for n in _joints(self.waiting, waiting)):
            waiting = tuple(sorted(waiting, key=_seq))
        return evolve(self, waiting=waiting)

    @property
    def room(self) -> bool:
        """Say whether more may be read."""
        if not self.waiting:
            return True
        size = sum(len(d.row.content) for d in self.waiting if isinstance(d.row, MessageOut))
        return len(self.waiting) < MAX_OPEN and size < MAX_OPEN_BYTES

    @property
    def empty(self) -> bool:
        """Say whether nothing is on its way."""
        return not self.waiting and self.in_flight is None

    def take(self, now: datetime) -> tuple["DeliveryQueue", Delivery | None]:
        """Put the next one to attempt in flight; None while another is, or none may go."""
        if self.in_flight is not None or not self.waiting:
            return self, None
        for delivery in self._heads(now):
            if delivery.is_due(now) and delivery.action is None:
                taken = evolve(delivery, attempts=delivery.attempts + 1)
                return DeliveryQueue(_without(self.waiting, [delivery]), taken), taken
        return self, None

    def take_actions(self, now: datetime) -> tuple["DeliveryQueue", tuple[Delivery, ...]]:
        """Take the requests to the session that are due: they are done at once, in the order of `seq`."""
        due = [each for each in self.waiting if each.action is not None and each.is_due(now)]
        return (evolve(self, waiting=_without(self.waiting, due)), tuple(due)) if due else (self, ())

    def finished(self) -> "DeliveryQueue":
        """Forget the one in flight, which is final."""
        return evolve(self, in_flight=None)

    def postponed(self, delivery: Delivery) -> "DeliveryQueue":
        """Put the one in flight back to its place, as it is by now."""
        return DeliveryQueue(_put_back(self.waiting, delivery))

    def replace(self, row: MessageOut | InvalidRow, bad: InvalidRow) -> "DeliveryQueue":
        """Put a bad row in the place of a row, wherever its delivery is by now."""

        def replaced(each: Delivery) -> Delivery:
            return evolve(each, row=bad, slot=None) if each.row is row else each

        in_flight = self.in_flight and replaced(self.in_flight)
        return DeliveryQueue(tuple(map(replaced, self.waiting)), in_flight)

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next attempt or action may begin. None: nothing waits for a time.

        While an attempt is in flight, its end brings the next look at those that wait for theirs.
        """
        if not self.waiting:
            return None
        heads = [head for head in self._heads(now) if head.action is not None or self.in_flight is None]
        return min((due for head in heads if (due := head.due()) is not None), default=None)

    def _heads(self, now: datetime) -> Iterator[Delivery]:
        """Go through the first of each address, all that are deferred, all actions: no other holds them."""
        held = set[Address | None]()
        for delivery in self.waiting:
            if delivery.is_request or delivery.deferred(now):
                yield delivery
            elif delivery.address not in held:
                held.add(delivery.address)
                yield delivery

    def oldest(self) -> Delivery | None:
        """Return the one with the lowest `seq`."""
        candidates = (self.in_flight, *self.waiting[:1])
        return min((each for each in candidates if each is not None), key=_seq, default=None)

    def last_seq(self) -> int:
        """Return the highest `seq` that is not final; 0 if all are."""
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return max([*flying, *(each.row.seq for each in self.waiting[-1:])], default=0)

    def first_seq(self, now: datetime) -> int | None:
        """Return the lowest `seq` that is not final, of those that are not to be sent later."""
        waiting = (each.row.seq for each in self.waiting if not each.deferred(now))
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return min([*flying, *islice(waiting, 1)], default=None)


def _seq(delivery: Delivery) -> int:
    return delivery.row.seq


def _joints(before: Sequence[Delivery], after: Sequence[Delivery]) -> range:
    """Index the pairs of neighbours that are new."""
    return range(max(len(before) - 1, 0), len(after) - 1)


def _put_back(waiting: tuple[Delivery, ...], delivery: Delivery) -> tuple[Delivery, ...]:
    """Insert it before those of its own number."""
    place = bisect_left(waiting, delivery.row.seq, key=_seq)
    return (*waiting[:place], delivery, *waiting[place:])


def _without(waiting: Iterable[Delivery], taken: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """Leave out exactly these values: a hostile file may have two that are equal."""
    gone: Container[int] = {id(each) for each in taken}
    return tuple(each for each in waiting if id(each) not in gone)
