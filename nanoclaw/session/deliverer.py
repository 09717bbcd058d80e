"""The delivery task of a session: one attempt in flight, in the order of the queue.

It commits the outcome of an attempt together with the start of the next one, so a burst of replies costs one
commit each. Hints (typing, settled) go their own way and are lost where a channel is down.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.channels.protocol import Outcome
from nanoclaw.channels.senders import Settled, Typing
from nanoclaw.records import Address
from nanoclaw.scheduling import ScheduleError, due_slots, next_run
from nanoclaw.session import record
from nanoclaw.session.attempt import Attempter, Delivered, Refused, Result, Undeliverable, Unknown
from nanoclaw.session.queue import Delivery, DeliveryQueue
from nanoclaw.session.record import Finished
from nanoclaw.store import Writer, messages_in
from nanoclaw.store.deliveries import NOTICE, LedgerEntry
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.store.outbound import InvalidRow, Look, MessageOut
from nanoclaw.store.refusals import Refusals
from nanoclaw.store.times import from_text

_log = structlog.get_logger()


@define(eq=False)
class Deliverer:
    """The deliveries of one session."""

    attempter: Attempter
    inbound: Writer
    seen_seq: int
    """Up to this number the rows of outbound.db are known."""
    _unread: dict[str, LedgerEntry]
    """Entries of the ledger whose rows were not read again since the restart."""
    _notices: dict[str, MessageOut]
    """Those of them that the host itself says: their rows are not in outbound.db."""
    _delivered_before: frozenset[str] = frozenset()
    """What another build delivered, before there was a ledger."""
    refusals: Refusals = Factory(Refusals)
    queue: DeliveryQueue = Factory(DeliveryQueue)
    closing: bool = False
    _settled: deque[tuple[int, Settled]] = Factory(deque)
    _finishing: bool = False
    """Whether the end of an attempt is being committed."""
    _hands: tuple[trio.MemorySendChannel[Delivery], trio.MemoryReceiveChannel[Delivery]] = field(
        factory=lambda: trio.open_memory_channel[Delivery](1)
    )
    _hints: tuple[
        trio.MemorySendChannel[tuple[Address, Typing | Settled]],
        trio.MemoryReceiveChannel[tuple[Address, Typing | Settled]],
    ] = field(factory=lambda: trio.open_memory_channel[tuple[Address, Typing | Settled]](inf))
    rested: trio.Event = Factory(trio.Event)
    """Set when nothing is in flight after `closing`."""

    @classmethod
    def of(cls, memory: record.Memory, attempter: Attempter, inbound: Writer) -> "Deliverer":
        """The deliveries that a session finds in its ledger when it is born."""
        unread = {entry.message_out_id: entry for entry in memory.ledger}
        kept = memory.notices.items()
        notices = {id_: record.notice_row(id_, unread[id_].seq, content) for id_, content in kept}
        return cls(
            attempter, inbound, memory.seen_seq, unread, notices, memory.delivered_before, memory.refusals
        )

    # -- what is to be delivered; synchronous

    def unread(self) -> Sequence[str]:
        """Ids of rows to read again."""
        return list(dict.fromkeys(map(_row_id, self._unread)))

    def reread(self, seen: Look, now: datetime) -> list[Finished]:
        """Rows of the ledger, read again after a restart; attempts that were cut off are returned."""
        found = {**{row.id: row for row in seen.known}, **self._notices}
        looked_for, doubts = frozenset(seen.looked_for), list[Finished]()
        for entry in [e for e in self._unread.values() if _row_id(e.message_out_id) in looked_for]:
            del self._unread[entry.message_out_id]
            doubts += self._reread(entry, found.get(_row_id(entry.message_out_id)), now)
        return doubts

    def _reread(
        self, entry: LedgerEntry, row: MessageOut | InvalidRow | None, now: datetime
    ) -> list[Finished]:
        delivery = Delivery(
            row or InvalidRow(_row_id(entry.message_out_id), entry.seq, "it is gone from outbound.db"),
            entry.attempts,
            entry.next_attempt,
            reason=entry.error,
            slot=_slot(entry.message_out_id),
            doubts=entry.doubts,
        )
        if entry.status != "sending" or row is None:
            self.queue.add(delivery)
            return []
        result = self.attempter.doubt(delivery, "the host stopped while sending", 0.0)
        finished = self._finished(delivery, result, now)
        if isinstance(result, Unknown):
            delivery.not_before, delivery.doubts = now, delivery.doubts + 1
            self.queue.add(delivery)
        if finished.following is not None:
            self.queue.add(finished.following)
        return [finished]

    def add(
        self, rows: Iterable[MessageOut | InvalidRow], messages: Mapping[str, OpenMessage], now: datetime
    ) -> list[Delivery]:
        """New rows as deliveries; `messages` are those they may answer."""
        return [self._add(row, messages, now) for row in rows]

    def _add(
        self, row: MessageOut | InvalidRow, messages: Mapping[str, OpenMessage], now: datetime
    ) -> Delivery:
        answered = messages.get(row.in_reply_to or "") if isinstance(row, MessageOut) else None
        delivery = Delivery(row, reply_to=answered.platform_message_id if answered else None)
        if isinstance(row, MessageOut) and row.recurrence is not None:
            delivery = self._first_of_series(row, row.recurrence, now)
        self.seen_seq = max(self.seen_seq, row.seq)
        if row.id not in self._delivered_before:
            self.queue.add(delivery)
        return delivery

    def say(self, notices: Iterable[MessageOut]) -> None:
        """What the host itself says; rows of the runner may still come with lower numbers."""
        for notice in notices:
            self.queue.add(Delivery(notice))

    # -- rows that recur

    def _first_of_series(self, row: MessageOut, recurrence: str, now: datetime) -> Delivery:
        try:
            first = next_run(recurrence, now, self._zone)
            return Delivery(row, slot=row.deliver_after or first)
        except ScheduleError as error:
            return Delivery(InvalidRow(row.id, row.seq, str(error)))

    def _finished(self, delivery: Delivery, result: Result, now: datetime) -> Finished:
        """What has become of an attempt; of one that recurs and is final, with the delivery that follows."""
        row = delivery.row
        if not isinstance(result, Delivered | Undeliverable) or not isinstance(row, MessageOut):
            return Finished(delivery, result)
        if row.recurrence is None or delivery.slot is None:
            return Finished(delivery, result)
        try:
            slot = due_slots(row.recurrence, delivery.slot, now, self._zone, "none").next
        except ScheduleError as error:
            _log.error("delivery.series_stopped", message=row.id, reason=str(error))
            return Finished(delivery, result)
        return Finished(delivery, result, following=Delivery(row, slot=slot))

    @property
    def _zone(self) -> str:
        return self.attempter.services.config.timezone

    def take(self, now: datetime) -> Delivery | None:
        """The attempt to begin now, if any; it must be committed, then given to `go`."""
        return None if self.closing else self.queue.take(now)

    def take_actions(self, now: datetime) -> list[Delivery]:
        """What the agent asks of its session now; it must be committed."""
        return [] if self.closing else self.queue.take_actions(now)

    def put_back(self, refused: Iterable[Delivery]) -> None:
        """What was taken for actions, and is none."""
        for delivery in refused:
            self.queue.add(delivery)

    def go(self, begun: Delivery | None) -> None:
        """Make an attempt whose beginning is on disk."""
        if begun is not None:
            self._hands[0].send_nowait(begun)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to deliver or to tell."""
        return self.queue.empty and not self._unread and not self._settled

    @property
    def waiting(self) -> int:
        """How many messages are on their way."""
        in_flight = self.queue.in_flight is not None
        return len(self.queue.waiting) + in_flight + len(self._unread)

    def close(self) -> None:
        """Begin no further attempt; `rested` follows when the one in flight is recorded."""
        self.closing = True
        if self.queue.in_flight is None:
            self.rested.set()

    # -- hints

    def show_typing(self, address: Address | None) -> None:
        """The agent is at work on a message from there."""
        if address is not None:
            self._hints[0].send_nowait((address, Typing(address)))

    def settle(self, message: OpenMessage, outcome: Outcome) -> None:
        """A message is done with; its channel hears of it once all that was sent so far is final."""
        if message.address is not None and message.platform_message_id is not None:
            hint = Settled(message.address, message.platform_message_id, outcome)
            self._settled.append((max(self.seen_seq, self.queue.last_seq()), hint))
            self._tell_settled()

    def _tell_settled(self) -> None:
        if self._finishing:
            return  # the queue is ahead of the ledger; once it has caught up, this is asked again
        open_from = self.queue.first_seq(self.attempter.services.clock.now())
        while self._settled and (open_from is None or self._settled[0][0] < open_from):
            _, hint = self._settled.popleft()
            self._hints[0].send_nowait((hint.address, hint))

    # -- the tasks

    async def hints(self) -> None:
        """Pass hints on, until cancelled."""
        async for address, hint in self._hints[1]:
            await self.attempter.services.senders.hint(address, hint)

    async def deliver(
        self, rested: Callable[[], None], told: Callable[[Iterable[OpenMessage]], None]
    ) -> None:
        """Make the attempts that are handed over, until cancelled; `rested` is called after each run.

        `told` takes what was stored for the agent, which hears of deliveries that failed or may have.
        """
        async for first in self._hands[1]:
            delivery: Delivery | None = first
            while delivery is not None:
                delivery = await self._finish(delivery, await self._attempt(delivery), told)
            if self.closing:
                self.rested.set()
            rested()

    async def _attempt(self, delivery: Delivery) -> Result:
        row = delivery.row
        if isinstance(row, MessageOut) and row.in_reply_to and delivery.reply_to is None:
            delivery.reply_to = await self.inbound.run(messages_in.platform_message_id, row.in_reply_to)
        return await self.attempter.attempt(delivery)

    async def _finish(
        self, delivery: Delivery, result: Result, told: Callable[[Iterable[OpenMessage]], None]
    ) -> Delivery | None:
        """Commit what became of an attempt with the beginning of the next one, which is returned."""
        now = self.attempter.services.clock.now()
        finished = self._finished(delivery, result, now)
        self._finishing = True
        if isinstance(result, Delivered | Undeliverable):
            self.queue.finished()
        else:
            delivery.doubts += isinstance(result, Unknown)
            asked = isinstance(result, Unknown) or result.asked
            self.queue.postponed(result.not_before, result.reason, asked=asked)
        if finished.following is not None:
            self.queue.add(finished.following)
        begun = self.take(now)
        told(await self.inbound.run(record.finish, finished, begun, now))
        self._finishing = False
        if isinstance(result, Refused):
            self.refusals = self.refusals.and_one(delivery.id, result.reason)
        self._log(delivery, result)
        self._tell_settled()
        return begun

    def _log(self, delivery: Delivery, result: Result) -> None:
        if isinstance(result, Delivered):
            _log.debug("delivery.delivered", message=delivery.id)
        elif isinstance(result, Undeliverable):
            _log.error("delivery.failed", message=delivery.id, reason=result.reason)
        else:
            event = "delivery.unknown" if isinstance(result, Unknown) else "delivery.postponed"
            again = result.not_before.isoformat()
            _log.warning(event, message=delivery.id, reason=result.reason, again_at=again)


def _row_id(message_out_id: str) -> str:
    """The row behind a name of the ledger: one that recurs has its slot after an `@`."""
    return message_out_id if message_out_id.startswith(NOTICE) else message_out_id.partition("@")[0]


def _slot(message_out_id: str) -> datetime | None:
    slot = message_out_id.removeprefix(_row_id(message_out_id)).removeprefix("@")
    return from_text(slot) if slot else None
