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
from nanoclaw.session import record
from nanoclaw.session.attempt import Attempter, Delivered, Result, Undeliverable, Unknown
from nanoclaw.session.queue import Delivery, DeliveryQueue
from nanoclaw.store import Writer, messages_in
from nanoclaw.store.deliveries import LedgerEntry
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.store.outbound import BadRow, Look, MessageOut

_log = structlog.get_logger()


@define(eq=False)
class Deliverer:
    """The deliveries of one session."""

    attempter: Attempter
    inbound: Writer
    seen_seq: int
    _unread: dict[str, LedgerEntry]
    """Entries of the ledger whose rows were not read again since the restart."""
    _notices: dict[str, MessageOut]
    """Those of them that the host itself says: their rows are not in outbound.db."""
    _delivered_before: frozenset[str] = frozenset()
    """What another build delivered, before there was a ledger."""
    queue: DeliveryQueue = Factory(DeliveryQueue)
    closing: bool = False
    _settled: deque[tuple[int, Settled]] = Factory(deque)
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
        return cls(attempter, inbound, memory.seen_seq, unread, notices, memory.delivered_before)

    # -- what is to be delivered; synchronous

    def unread(self) -> Sequence[str]:
        """Ids of rows to read again."""
        return list(self._unread)

    def reread(self, asked: Sequence[str], seen: Look, now: datetime) -> list[tuple[Delivery, Result]]:
        """Rows of the ledger, read again after a restart; attempts that were cut off are returned."""
        found = {**{row.id: row for row in seen.known}, **self._notices}
        reached = seen.known[-1].seq if seen.known_cut else inf
        doubts = list[tuple[Delivery, Result]]()
        for entry in [self._unread[id_] for id_ in asked if self._unread[id_].seq <= reached]:
            del self._unread[entry.message_out_id]
            row = found.get(entry.message_out_id) or BadRow(
                entry.message_out_id, entry.seq, "it is gone from outbound.db"
            )
            delivery = Delivery(row, entry.attempts, entry.next_attempt, reason=entry.error)
            if entry.status == "sending" and isinstance(row, MessageOut):
                result = self.attempter.doubt(delivery, "the host stopped while sending", 0.0)
                doubts.append((delivery, result))
                delivery.not_before = now
                if isinstance(result, Undeliverable):
                    continue
            self.queue.add(delivery)
        return doubts

    def add(self, rows: Iterable[MessageOut | BadRow], messages: Mapping[str, OpenMessage]) -> None:
        """New rows; `messages` are those they may answer."""
        for row in rows:
            answered = messages.get(row.in_reply_to or "") if isinstance(row, MessageOut) else None
            reply_to = answered.platform_message_id if answered else None
            self.seen_seq = max(self.seen_seq, row.seq)
            if row.id not in self._delivered_before:
                self.queue.add(Delivery(row, reply_to=reply_to))

    def take(self, now: datetime) -> Delivery | None:
        """The attempt to begin now, if any; it must be committed, then given to `go`."""
        return None if self.closing else self.queue.take(now)

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
            self._settled.append((self.seen_seq, hint))
            self._tell_settled()

    def _tell_settled(self) -> None:
        open_from = self.queue.first_seq()
        while self._settled and (open_from is None or self._settled[0][0] < open_from):
            _, hint = self._settled.popleft()
            self._hints[0].send_nowait((hint.address, hint))

    # -- the tasks

    async def hints(self) -> None:
        """Pass hints on, until cancelled."""
        async for address, hint in self._hints[1]:
            await self.attempter.services.senders.hint(address, hint)

    async def deliver(self, rested: Callable[[], None]) -> None:
        """Make the attempts that are handed over, until cancelled; `rested` is called after each run."""
        async for first in self._hands[1]:
            delivery: Delivery | None = first
            while delivery is not None:
                delivery = await self._finish(delivery, await self._attempt(delivery))
            if self.closing:
                self.rested.set()
            rested()

    async def _attempt(self, delivery: Delivery) -> Result:
        row = delivery.row
        if isinstance(row, MessageOut) and row.in_reply_to and delivery.reply_to is None:
            delivery.reply_to = await self.inbound.run(messages_in.platform_message_id, row.in_reply_to)
        return await self.attempter.attempt(delivery)

    async def _finish(self, delivery: Delivery, result: Result) -> Delivery | None:
        """Commit what became of an attempt with the beginning of the next one, which is returned."""
        now = self.attempter.services.clock.now()
        if isinstance(result, Delivered | Undeliverable):
            self.queue.finished()
        else:
            self.queue.postponed(result.not_before, result.reason)
        begun = self.take(now)
        await self.inbound.run(record.finish, delivery, result, begun, now)
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
