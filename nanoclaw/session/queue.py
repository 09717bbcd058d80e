"""The order of a session's deliveries, as frozen values: by `seq` per address, one attempt in flight.

A row in back-off blocks only its own address. A deferred row blocks none. A request of the agent (kind
`system`) has no receiver's address, so it neither blocks nor is blocked.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from attrs import evolve, frozen

from nanoclaw.records import AGENT, Address
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.outbound import InvalidRow, MessageOut

MAX_OPEN = 10_000
"""Limit of rows that are read ahead, so that a container cannot fill the host's memory."""
MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Limit of the content of these rows in bytes."""


@frozen
class Delivery:
    """One outbound row that is not final."""

    row: MessageOut | InvalidRow
    attempts: int = 0
    not_before: datetime | None = None
    """End of the back-off."""
    waits_since: datetime | None = None
    """The date at which the back-off began, or the slot was computed. It is in the future if the date was set
    back since.
    """
    reply_to: str | None = None
    """The platform's id of the message that it answers, if known."""
    reason: str | None = None
    """The reason why the last attempt did not deliver it."""
    slot: datetime | None = None
    """The slot of this delivery, if the row recurs."""
    doubts: int = 0
    """The number of attempts with unknown outcome."""
    held: int = 0
    """The number of times since the start that it was held, because its receiver was not available."""
    scheduled_at: datetime | None = None
    """The time of the task that it answers, if known."""
    by_host: bool = False
    """True if the host, not the session, performs this request."""

    @property
    def id(self) -> str:
        """The idempotency key and the key in the ledger: the row's id, with the slot if it recurs."""
        return self.row.id if self.slot is None else f"{self.row.id}@{to_text(self.slot)}"

    @property
    def action(self) -> MessageOut | None:
        """The row, if it is a request to its session. Otherwise None."""
        return self.row if isinstance(self.row, MessageOut) and self.is_request and not self.by_host else None

    @property
    def is_request(self) -> bool:
        """True if it is a request to the session or to the host. Such rows go to no address."""
        return isinstance(self.row, MessageOut) and self.row.kind == "system"

    @property
    def repeatable(self) -> bool:
        """True if a repeat is harmless, because agents and the host recognize a delivery by its id."""
        return self.is_request or (self.address is not None and self.address.channel_type == AGENT)

    @property
    def address(self) -> Address | None:
        """The row's address. None stands for the session's own chat, if it has one."""
        return self.row.address if isinstance(self.row, MessageOut) else None

    @property
    def wanted_at(self) -> datetime | None:
        """The time at which the agent wants it sent. None means at once."""
        if self.slot is not None or not isinstance(self.row, MessageOut):
            return self.slot
        return self.row.deliver_after

    def shortened(self, now: datetime, longest: timedelta) -> "Delivery":
        """Shorten a back-off that began before the date was set back to its own length, at most `longest`."""
        if self.not_before is None or self.not_before <= now:
            return self
        since = self.waits_since or now
        until = min(since, now) + min(self.not_before - since, longest)
        return self if until >= self.not_before else evolve(self, not_before=until, waits_since=now)

    def misdated(self, now: datetime) -> bool:
        """Return True if its slot was computed while the date was ahead."""
        return self.slot is not None and self.waits_since is not None and self.waits_since > now

    def deferred(self, now: datetime) -> bool:
        """Return True if the agent wants it sent later."""
        return self.wanted_at is not None and self.wanted_at > now

    def due(self) -> datetime | None:
        """Return the time from which it may be sent. None means at once."""
        times = [self.not_before, self.wanted_at]
        return max((time for time in times if time is not None), default=None)

    def is_due(self, now: datetime) -> bool:
        """Return True if it may be sent now."""
        due = self.due()
        return due is None or due <= now


@frozen
class DeliveryQueue:
    """The deliveries that are not final, by `seq`."""

    waiting: tuple[Delivery, ...] = ()
    in_flight: Delivery | None = None
    unattended: frozenset[Address | None] = frozenset()
    """Addresses that nobody attends. Their rows wait, without a due time."""
    came: bool = False
    """True if somebody came to the address of the delivery in flight after its attempt began."""

    def add(self, deliveries: Iterable[Delivery]) -> "DeliveryQueue":
        """Insert deliveries in the order of `seq`."""
        waiting = (*self.waiting, *deliveries)
        if any(waiting[n].row.seq > waiting[n + 1].row.seq for n in _joints(self.waiting, waiting)):
            waiting = tuple(sorted(waiting, key=_seq))
        return evolve(self, waiting=waiting)

    @property
    def room(self) -> bool:
        """True if more rows may be read."""
        if not self.waiting:
            return True
        size = sum(len(d.row.content) for d in self.waiting if isinstance(d.row, MessageOut))
        return len(self.waiting) < MAX_OPEN and size < MAX_OPEN_BYTES

    def by_channel(self) -> Mapping[str, int]:
        """Return the number of deliveries to chats, by channel."""
        every = (*self.waiting, *([self.in_flight] if self.in_flight is not None else []))
        channels = (each.address.channel_type for each in every if each.address is not None)
        return Counter(each for each in channels if each != AGENT)

    @property
    def empty(self) -> bool:
        """True if no delivery is waiting or in flight."""
        return not self.waiting and self.in_flight is None

    def take(self, now: datetime) -> tuple["DeliveryQueue", Delivery | None]:
        """Put the next due delivery in flight. Return None if one is in flight already, or none is due."""
        if self.in_flight is not None or not self.waiting:
            return self, None
        for delivery in self._heads(now):
            if delivery.is_due(now) and delivery.action is None:
                taken = evolve(delivery, attempts=delivery.attempts + 1)
                return evolve(
                    self, waiting=_without(self.waiting, [delivery]), in_flight=taken, came=False
                ), taken
        return self, None

    def take_actions(self, now: datetime) -> tuple["DeliveryQueue", tuple[Delivery, ...]]:
        """Remove and return the due requests to the session, in the order of `seq`."""
        due = [each for each in self.waiting if each.action is not None and each.is_due(now)]
        return (evolve(self, waiting=_without(self.waiting, due)), tuple(due)) if due else (self, ())

    def finished(self) -> "DeliveryQueue":
        """Remove the delivery in flight, which is final."""
        return evolve(self, in_flight=None)

    def postponed(self, delivery: Delivery) -> "DeliveryQueue":
        """Put the delivery in flight back to its place, with its new state."""
        return evolve(self, waiting=_put_back(self.waiting, delivery), in_flight=None)

    def held(self, delivery: Delivery) -> "DeliveryQueue":
        """Put the delivery in flight back. Its address waits until somebody attends it."""
        queue = self.postponed(delivery)
        return queue if self.came else evolve(queue, unattended=self.unattended | {delivery.address})

    def attended(self, address: Address, *, is_own: bool) -> "DeliveryQueue":
        """End the wait of an address. `is_own` says that it is the session's own chat."""
        meant = {address, None} if is_own else {address}
        came = self.came or (self.in_flight is not None and self.in_flight.address in meant)
        left = self.unattended - meant
        changed = (left, came) != (self.unattended, self.came)
        return evolve(self, unattended=left, came=came) if changed else self

    def replace(self, row: MessageOut | InvalidRow, bad: InvalidRow) -> "DeliveryQueue":
        """Replace a row by a bad row, whether its delivery waits or is in flight."""

        def replaced(each: Delivery) -> Delivery:
            return evolve(each, row=bad, slot=None) if each.row is row else each

        in_flight = self.in_flight and replaced(self.in_flight)
        return evolve(self, waiting=tuple(map(replaced, self.waiting)), in_flight=in_flight)

    def shortened(self, now: datetime, longest: timedelta) -> "DeliveryQueue":
        """Shorten the back-offs that began before the date was set back; see `Delivery.shortened`."""
        waiting = tuple(each.shortened(now, longest) for each in self.waiting)
        changed = any(one is not other for one, other in zip(waiting, self.waiting, strict=True))
        return evolve(self, waiting=waiting) if changed else self

    def misdated(self, now: datetime) -> tuple[Delivery, ...]:
        """Return the deliveries whose slots were computed while the date was ahead."""
        return tuple(each for each in self.waiting if each.misdated(now))

    def redated(self, changes: Sequence[tuple[Delivery, Delivery]]) -> "DeliveryQueue":
        """Replace deliveries by those at other slots."""
        kept = _without(self.waiting, [old for old, _ in changes])
        return evolve(self, waiting=kept).add(new for _, new in changes)

    def next_due(self, now: datetime) -> datetime | None:
        """Return the time at which the next attempt or action may begin, or None if nothing is scheduled.

        While an attempt is in flight, only actions count. The end of the attempt checks the other rows.
        """
        if not self.waiting:
            return None
        heads = [head for head in self._heads(now) if head.action is not None or self.in_flight is None]
        return min((due for head in heads if (due := head.due()) is not None), default=None)

    def _heads(self, now: datetime) -> Iterator[Delivery]:
        """Yield the deliveries that no other one blocks: the first of each address, deferred, requests."""
        held = set[Address | None](self.unattended)
        for delivery in self.waiting:
            if delivery.is_request or delivery.deferred(now):
                yield delivery
            elif delivery.address not in held:
                held.add(delivery.address)
                yield delivery

    def oldest(self) -> Delivery | None:
        """Return the delivery with the lowest `seq`."""
        candidates = (self.in_flight, *self.waiting[:1])
        return min((each for each in candidates if each is not None), key=_seq, default=None)

    def last_seq(self) -> int:
        """Return the highest `seq` that is not final, or 0 if all are final."""
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return max([*flying, *(each.row.seq for each in self.waiting[-1:])], default=0)

    def first_seq(self, now: datetime) -> int | None:
        """Return the lowest `seq` that is neither final nor deferred."""
        waiting = (each.row.seq for each in self.waiting if not each.deferred(now))
        flying = [] if self.in_flight is None else [self.in_flight.row.seq]
        return min([*flying, *islice(waiting, 1)], default=None)


def _seq(delivery: Delivery) -> int:
    return delivery.row.seq


def _joints(before: Sequence[Delivery], after: Sequence[Delivery]) -> range:
    """Return the indexes of the new pairs of neighbours."""
    return range(max(len(before) - 1, 0), len(after) - 1)


def _put_back(waiting: tuple[Delivery, ...], delivery: Delivery) -> tuple[Delivery, ...]:
    """Insert a delivery before those with the same `seq`."""
    place = bisect_left(waiting, delivery.row.seq, key=_seq)
    return (*waiting[:place], delivery, *waiting[place:])


def _without(waiting: Iterable[Delivery], taken: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """Remove exactly these objects. A hostile file may have equal rows."""
    gone: Container[int] = {id(each) for each in taken}
    return tuple(each for each in waiting if id(each) not in gone)
