"""The deliveries of a session as frozen values: the queue, ledger entries to reread, and pending hints.

This module reads and writes no file. The ledger itself is `nanoclaw.store.session.deliveries`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import Factory, evolve, frozen

from nanoclaw.channels.protocol import Outcome
from nanoclaw.records import Address
from nanoclaw.scheduling import ScheduleError, due_slots, next_run
from nanoclaw.session import notices, transactions
from nanoclaw.session.finishing import Finished
from nanoclaw.session.outcomes import (
    MAX_RETRY_AFTER_S,
    Delivered,
    Final,
    Held,
    Result,
    Undeliverable,
    Unknown,
    doubt,
)
from nanoclaw.session.queue import Delivery, DeliveryQueue
from nanoclaw.session.rules import Rules
from nanoclaw.store.engine.times import from_text
from nanoclaw.store.session.deliveries import NOTICE, LedgerEntry
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import InvalidRow, Look, MessageOut
from nanoclaw.store.session.refusals import Refusals

LONGEST_BACK_OFF = timedelta(seconds=MAX_RETRY_AFTER_S)
MAX_LOST = 100
"""Limit of the messages that are remembered, until they are settled, because their answer was lost."""


@frozen
class SettledMessage:
    """A user's message that is settled. Its channel is told once every earlier row is final."""

    address: Address
    platform_message_id: str
    outcome: Outcome
    after_seq: int
    """The `seq` of the last row that was sent before it was settled."""


@frozen
class Deliveries:
    """The deliveries of one session."""

    seen_seq: int = 0
    """The highest `seq` that was read from outbound.db."""
    unread: Mapping[str, LedgerEntry] = Factory(dict)
    """Ledger entries whose rows have not been reread since the start."""
    notices: Mapping[str, MessageOut] = Factory(dict)
    """The host's own notices among them. Their rows are not in outbound.db."""
    delivered_before: frozenset[str] = frozenset()
    """Ids of rows that another build delivered before there was a ledger."""
    refusals: Refusals = Factory(Refusals)
    queue: DeliveryQueue = Factory(DeliveryQueue)
    settled: tuple[SettledMessage, ...] = ()
    lost: tuple[str, ...] = ()
    """The platform's ids of messages whose last answer was refused or could not be delivered."""
    finishing: bool = False
    """True while the end of an attempt is being committed. The queue is then ahead of the ledger."""

    @classmethod
    def of(cls, stored: transactions.StoredSession) -> "Deliveries":
        """Return the deliveries that a session finds in its ledger at its start."""
        unread = {entry.message_out_id: entry for entry in stored.ledger}
        kept = stored.notices.items()
        return cls(
            stored.seen_seq,
            unread,
            {id_: notices.notice_row(id_, unread[id_].seq, content) for id_, content in kept},
            stored.delivered_before,
            stored.refusals,
        )

    @property
    def idle(self) -> bool:
        """Return True if nothing is left to deliver or to tell."""
        return self.queue.empty and not self.unread and not self.settled

    @property
    def count(self) -> int:
        """The number of deliveries that are not final."""
        return len(self.queue.waiting) + (self.queue.in_flight is not None) + len(self.unread)

    # -- incoming rows

    def unread_rows(self) -> Sequence[str]:
        """Return the ids of the rows to reread."""
        return list(dict.fromkeys(map(_row_id, self.unread)))

    def reread(self, seen: Look, now: datetime, rules: Rules) -> tuple["Deliveries", tuple[Finished, ...]]:
        """Queue ledger rows that were reread. Also return the attempts that a crash interrupted."""
        looked_for = frozenset(seen.looked_for)
        entries = [each for each in self.unread.values() if _row_id(each.message_out_id) in looked_for]
        if not entries:
            return self, ()
        found = {**{row.id: row for row in seen.known}, **self.notices}
        queued, doubts = list[Delivery](), list[Finished]()
        for entry in entries:
            more, cut_off = _reread(entry, found.get(_row_id(entry.message_out_id)), now, rules)
            queued += more
            doubts += cut_off
        taken = {entry.message_out_id for entry in entries}
        left = {id_: entry for id_, entry in self.unread.items() if id_ not in taken}
        return evolve(self, unread=left, queue=self.queue.add(queued)), tuple(doubts)

    def add(
        self,
        rows: Iterable[MessageOut | InvalidRow],
        messages: Mapping[str, OpenMessage],
        now: datetime,
        zone: str,
    ) -> tuple["Deliveries", tuple[Delivery, ...]]:
        """Queue new rows. `messages` are the messages that they may answer."""
        new = tuple(_delivery(row, messages, now, zone) for row in rows)
        if not new:
            return self, ()
        seen_seq = max(self.seen_seq, *(each.row.seq for each in new))
        queued = [each for each in new if each.row.id not in self.delivered_before]
        return evolve(self, seen_seq=seen_seq, queue=self.queue.add(queued)), new

    def skip(self, up_to: int, closed: frozenset[str]) -> "Deliveries":
        """Count rows up to this `seq` as read, and remove deliveries that are final now."""
        unread = {id_: entry for id_, entry in self.unread.items() if id_ not in closed}
        return evolve(self, seen_seq=up_to, unread=unread)

    def queue_notices(self, notices: Sequence[MessageOut]) -> "Deliveries":
        """Queue the host's own messages. Rows of the runner with lower numbers may still come."""
        return evolve(self, queue=self.queue.add(map(Delivery, notices))) if notices else self

    def hand_to_host(self, requests: Iterable[Delivery]) -> "Deliveries":
        """Queue requests that were taken as actions but that a handler of the host performs."""
        handed = [evolve(each, by_host=True) for each in requests]
        return evolve(self, queue=self.queue.add(handed)) if handed else self

    def replace_bad(
        self, bad: Sequence[tuple[MessageOut | InvalidRow, InvalidRow]], actions: Sequence[Delivery]
    ) -> "Deliveries":
        """Replace rows by bad rows, in the queue and in `actions`, which were taken from it."""
        if not bad:
            return self
        queue = self.queue
        for row, instead in bad:
            queue = queue.replace(row, instead)
        refused = [each for each in transactions.replaced(actions, bad) if each.action is None]
        return evolve(self, queue=queue.add(refused))

    # -- after the date was set back

    def shortened(self, now: datetime) -> "Deliveries":
        """Shorten the back-offs that began before the date was set back."""
        queue = self.queue.shortened(now, LONGEST_BACK_OFF)
        return self if queue is self.queue else evolve(self, queue=queue)

    def redated(self, changes: Sequence[tuple[Delivery, Delivery]]) -> "Deliveries":
        """Replace deliveries by those at other slots, which are on disk."""
        return evolve(self, queue=self.queue.redated(changes)) if changes else self

    # -- attempts

    def take(self, now: datetime) -> tuple["Deliveries", Delivery | None]:
        """Choose the next attempt, if any may begin. The caller commits its start."""
        queue, begun = self.queue.take(now)
        return (evolve(self, queue=queue), begun) if begun is not None else (self, None)

    def take_actions(self, now: datetime) -> tuple["Deliveries", tuple[Delivery, ...]]:
        """Choose the requests that are due. The caller commits them."""
        queue, due = self.queue.take_actions(now)
        return (evolve(self, queue=queue), due) if due else (self, ())

    def end_attempt(
        self, delivery: Delivery, result: Result, now: datetime, zone: str
    ) -> tuple["Deliveries", Finished]:
        """Apply the result of the attempt in flight. The caller commits it."""
        finished = _finished(delivery, result, now, zone)
        if isinstance(result, Final):
            queue = self.queue.finished()
        elif isinstance(result, Held):
            queue = self.queue.held(_given_back(delivery, result.reason))
        else:
            queue = self.queue.postponed(_postponed(delivery, result, now))
        if finished.following is not None:
            queue = queue.add([finished.following])
        lost = _lost(self.lost, delivery, result)
        return evolve(self, queue=queue, lost=lost, finishing=True), finished

    def attended(self, address: Address, chat: Address | None) -> "Deliveries":
        """End the wait for somebody at an address. `chat` is the session's own."""
        queue = self.queue.attended(address, is_own=address == chat)
        return self if queue is self.queue else evolve(self, queue=queue)

    def undo_take(self) -> "Deliveries":
        """Put back the delivery in flight, because its start could not be recorded."""
        taken = self.queue.in_flight
        if taken is None:
            return self
        return evolve(self, queue=self.queue.postponed(evolve(taken, attempts=taken.attempts - 1)))

    # -- settled messages

    def settle(self, messages: Iterable[tuple[OpenMessage, Outcome]]) -> "Deliveries":
        """Add settled messages whose channels must be told of their outcomes."""
        last = max(self.seen_seq, self.queue.last_seq())
        told = tuple(
            SettledMessage(message.address, message.platform_message_id, outcome, last)
            for message, outcome in messages
            if message.address is not None and message.platform_message_id is not None
        )
        return evolve(self, settled=(*self.settled, *told)) if told else self

    def take_settled(self, now: datetime) -> tuple["Deliveries", tuple[SettledMessage, ...]]:
        """Remove and return the settled messages whose channels can be told now."""
        if self.finishing or not self.settled:
            return self, ()  # called again when the attempt has ended
        open_from, told = self.queue.first_seq(now), 0
        while told < len(self.settled) and (open_from is None or self.settled[told].after_seq < open_from):
            told += 1
        return self._told(told)

    def _told(self, count: int) -> tuple["Deliveries", tuple[SettledMessage, ...]]:
        """Remove the first settled messages. A message whose answer was lost has failed for its user."""
        lost = frozenset(self.lost)
        told = tuple(
            evolve(each, outcome="failed") if each.platform_message_id in lost else each
            for each in self.settled[:count]
        )
        left = lost - {each.platform_message_id for each in told}
        kept = tuple(id_ for id_ in self.lost if id_ in left)
        return evolve(self, settled=self.settled[count:], lost=kept), told


# -- one row -------------------------------------------------------------------


def _reread(
    entry: LedgerEntry, row: MessageOut | InvalidRow | None, now: datetime, rules: Rules
) -> tuple[list[Delivery], list[Finished]]:
    """Return the deliveries to queue, and the interrupted attempt. The `seq` of the ledger counts."""
    gone = InvalidRow(_row_id(entry.message_out_id), entry.seq, "the row is gone from outbound.db")
    delivery = Delivery(
        gone if row is None else evolve(row, seq=entry.seq),
        entry.attempts,
        entry.next_attempt,
        entry.started_at,
        reason=entry.error,
        slot=_slot(entry.message_out_id),
        doubts=entry.doubts,
    ).shortened(now, LONGEST_BACK_OFF)
    if entry.status != "sending" or row is None:
        return [delivery], []
    result = doubt(delivery, "the host stopped while sending", now, rules)
    finished = _finished(delivery, result, now, rules.zone)
    again = [] if isinstance(result, Final) else [_postponed(delivery, result, now)]
    following = [finished.following] if finished.following is not None else []
    return [*again, *following], [finished]


def _delivery(
    row: MessageOut | InvalidRow, messages: Mapping[str, OpenMessage], now: datetime, zone: str
) -> Delivery:
    answered = messages.get(row.in_reply_to or "")
    reply_to = answered.platform_message_id if answered else None
    if isinstance(row, InvalidRow):
        return Delivery(row, reply_to=reply_to)
    if row.recurrence is not None:
        return _first_of_series(row, row.recurrence, now, zone)
    return Delivery(row, reply_to=reply_to)


def _lost(lost: tuple[str, ...], delivery: Delivery, result: Result) -> tuple[str, ...]:
    """Return the messages whose last answer was lost, after one more result."""
    answers = delivery.reply_to
    match result:
        case Delivered() if answers in lost:
            return tuple(id_ for id_ in lost if id_ != answers)
        case Undeliverable(doubtful=False) if answers is not None and answers not in lost:
            return (*lost, answers)[-MAX_LOST:]
        case _:
            return lost


def _first_of_series(row: MessageOut, recurrence: str, now: datetime, zone: str) -> Delivery:
    try:
        first = next_run(recurrence, now, zone)
        return Delivery(row, slot=row.deliver_after or first, waits_since=now)
    except ScheduleError as error:
        return Delivery(InvalidRow(row.id, row.seq, str(error)))


def _given_back(delivery: Delivery, reason: str) -> Delivery:
    """Return a delivery whose receiver was not asked, so the attempt does not count."""
    return evolve(delivery, attempts=delivery.attempts - 1, not_before=None, reason=reason)


def _postponed(delivery: Delivery, result: Result, now: datetime) -> Delivery:
    assert not isinstance(result, Final | Held)  # noqa: S101 -- these are not postponed
    later = evolve(delivery, not_before=result.not_before, reason=result.reason, waits_since=now)
    if isinstance(result, Unknown):
        return evolve(later, doubts=delivery.doubts + 1)
    if result.asked:
        return later
    return evolve(later, attempts=delivery.attempts - 1, held=delivery.held + 1)


def _finished(delivery: Delivery, result: Result, now: datetime, zone: str) -> Finished:
    """Pair an attempt with its result and, if it recurs and is final, with the next delivery."""
    row = delivery.row
    if not isinstance(result, Final) or not isinstance(row, MessageOut):
        return Finished(delivery, result)
    if row.recurrence is None or delivery.slot is None or delivery.is_request:
        return Finished(delivery, result)
    try:
        slot = due_slots(row.recurrence, delivery.slot, now, zone, "none").next
    except ScheduleError as error:
        return Finished(delivery, result, series_error=str(error))
    return Finished(delivery, result, following=Delivery(row, slot=slot, waits_since=now))


def _row_id(message_out_id: str) -> str:
    """Return the row id in a ledger key. The key of a recurring row has its slot after an `@`."""
    return message_out_id if message_out_id.startswith(NOTICE) else message_out_id.partition("@")[0]


def _slot(message_out_id: str) -> datetime | None:
    slot = message_out_id.removeprefix(_row_id(message_out_id)).removeprefix("@")
    return from_text(slot) if slot else None
