"""The transactions of a session's `inbound.db`: plain functions of a connection.

They change the database and return frozen values. No object of the session changes here.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import structlog
from attrs import Factory, evolve, frozen

from nanoclaw.records import Address, Receipt
from nanoclaw.records.reasons import in_words
from nanoclaw.session import actions, notices, recurrence
from nanoclaw.session.comparing import History, history_of
from nanoclaw.session.finishing import Finished, finish, redate_delivery
from nanoclaw.session.messages import Completed, Failed, Retry, Verdict
from nanoclaw.session.queue import Delivery
from nanoclaw.session.recurrence import Followed
from nanoclaw.session.requests import ActionContext
from nanoclaw.store import Connection
from nanoclaw.store.session import (
    agent_messages,
    deliveries,
    messages_in,
    projections,
    refusals,
    restored,
    targets,
    tasks,
)
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.outbound import InvalidRow, MessageOut, invalid_row
from nanoclaw.store.session.projections import CentralView
from nanoclaw.store.session.refusals import Refusals
from nanoclaw.store.session.restored import Restored
from nanoclaw.store.session.tasks import Occurrence

_log = structlog.get_logger()


@frozen
class StoredSession:
    """The content of a session's file that its actor keeps in memory."""

    open: list[OpenMessage]
    ledger: list[deliveries.LedgerEntry]
    notices: dict[str, str]
    """The content of the host's notices that are not final, by id."""
    own_seq: int
    seen_seq: int
    delivered_before: frozenset[str]
    """The ids of rows that another build delivered from this file."""
    refusals: Refusals = Factory(Refusals)
    history: History = History.COMPARED
    restored: Restored | None = None


def read_session(connection: Connection) -> StoredSession:
    """Read the state of a session from its file."""
    ledger = deliveries.open_entries(connection)
    fresh = messages_in.largest_seq(connection) == 0 and deliveries.is_empty(connection)
    ids = [entry.message_out_id for entry in ledger if entry.message_out_id.startswith(NOTICE)]
    return StoredSession(
        open=messages_in.open_messages(connection),
        ledger=ledger,
        notices={id_: deliveries.notice(connection, id_) or "{}" for id_ in ids},
        own_seq=messages_in.largest_seq(connection),
        seen_seq=deliveries.seen(connection),
        delivered_before=deliveries.delivered_by_another_build(connection),
        refusals=refusals.read(connection),
        history=history_of(connection, fresh=fresh),
        restored=restored.read(connection),
    )


def store(connection: Connection, message: NewMessage) -> OpenMessage | None:
    """Store a new message. Return None if it is stored already, or is about a message that is not here."""
    completed = targets.complete(connection, message)
    return messages_in.insert(connection, completed) if completed else None


def store_and_follow(connection: Connection, message: NewMessage) -> OpenMessage | None:
    """Store a new message of a session without a chat of its own. Replies go to the message's address.

    A message that wakes no agent about another one, such as a reaction, does not change where replies go.
    """
    if message.target is None or message.trigger:
        projections.write_routing(connection, message.address)
    return store(connection, message)


def project(connection: Connection, view: CentralView, chat: Address | None) -> None:
    """Rewrite the projections, which also wakes the runner."""
    projections.write_destinations(connection, view.destinations)
    projections.write_routing(connection, chat)


def project_changes(connection: Connection, view: CentralView, chat: Address | None) -> None:
    """Write the projections that have changed. It runs before a runner starts, so it need not wake one."""
    if projections.destinations(connection) != sorted(view.destinations, key=lambda one: one.name):
        projections.write_destinations(connection, view.destinations)
    if chat not in (None, projections.routing(connection)):
        projections.write_routing(connection, chat)


@frozen
class Settlement:
    """The decisions of one look, which are committed together."""

    verdicts: Sequence[Verdict] = ()
    rows: Sequence[Delivery] = ()
    """New rows."""
    doubts: Sequence[Finished] = ()
    """Attempts that a crash interrupted."""
    actions: Sequence[Delivery] = ()
    """Due requests of the agent to its session."""
    missed: bool = False
    """True if there are missed occurrences that must not run late."""
    misdated: bool = False
    """True if tasks wait whose rows were stored while the date was ahead."""
    misdated_deliveries: Sequence[Delivery] = ()
    """Deliveries whose slots were computed while the date was ahead."""
    claimed: frozenset[str] = frozenset()
    """Ids of the messages that the runner works on."""
    begun: Delivery | None = None
    """The attempt that begins."""
    turns: int = 0
    """The number of turns that ended; it needs no commit."""

    def __bool__(self) -> bool:
        """Return True if there is anything to commit."""
        return bool(
            self.verdicts
            or self.rows
            or self.doubts
            or self.actions
            or self.missed
            or self.misdated
            or self.misdated_deliveries
            or self.begun is not None
        )


@frozen
class SettlementOutcome:
    """The consequences of a settlement."""

    notices: tuple[MessageOut, ...] = ()
    """The host's notices to users."""
    opened: tuple[OpenMessage, ...] = ()
    """New messages, and tasks that changed."""
    closed: tuple[str, ...] = ()
    """Ids of messages that are not open any more."""
    handed_on: tuple[Delivery, ...] = ()
    """The actions that the host performs."""
    bad: tuple[tuple[MessageOut | InvalidRow, InvalidRow], ...] = ()
    """Rows that break the contract according to the ledger, each with the bad row that replaces it."""
    redated: tuple[tuple[Delivery, Delivery], ...] = ()
    """Deliveries that were moved to other slots, each with the new one."""

    @classmethod
    def of(cls, parts: Iterable["SettlementOutcome"]) -> "SettlementOutcome":
        """Join the outcomes of several parts, in order.

        A message that a later part closes is not open, even if an earlier part opened it.
        """
        notices, closed, bad = (
            list[MessageOut](),
            list[str](),
            list[tuple[MessageOut | InvalidRow, InvalidRow]](),
        )
        opened, handed_on = list[OpenMessage](), list[Delivery]()
        redated = list[tuple[Delivery, Delivery]]()
        for part in parts:
            gone = frozenset(part.closed)
            if gone:
                opened = [message for message in opened if message.id not in gone]
            notices += part.notices
            opened += part.opened
            closed += sorted(gone)
            handed_on += part.handed_on
            bad += part.bad
            redated += part.redated
        return cls(tuple(notices), tuple(opened), tuple(closed), tuple(handed_on), tuple(bad), tuple(redated))


def settle(
    connection: Connection,
    settlement: Settlement,
    now: datetime,
    zone: str,
    host_actions: frozenset[str] = frozenset(),
) -> SettlementOutcome:
    """Commit a settlement. `zone` is the user's. `host_actions` are left to the host."""
    context = ActionContext(now, zone, settlement.claimed, host_actions)
    return SettlementOutcome.of(_settle(connection, settlement, context))


def _settle(
    connection: Connection, settlement: Settlement, context: ActionContext
) -> Iterator[SettlementOutcome]:
    now, zone = context.now, context.zone
    bad = _reused(connection, settlement.rows)
    yield SettlementOutcome(bad=bad)
    rows = replaced(settlement.rows, bad)
    deliveries.record(connection, [(row.id, row.row.seq) for row in rows])
    for row in rows:
        if row.slot is not None:
            deliveries.note_slot(connection, row.id, now)
    at_work = [*settlement.claimed, *(verdict.message.id for verdict in settlement.verdicts)]
    agent_messages.record_chains(connection, _agent_rows(rows), at_work)
    for finished in settlement.doubts:
        yield SettlementOutcome(opened=finish(connection, finished, None, now).told)
    for verdict in settlement.verdicts:
        yield _judge(connection, verdict, now, zone)
    for delivery in replaced(settlement.actions, bad):
        if delivery.action is not None:
            yield _act(connection, delivery, delivery.action, context)
    if settlement.missed:
        yield from _drop_missed(connection, settlement.claimed, now, zone)
    if settlement.misdated:
        yield from _redate(connection, settlement.claimed, now, zone)
    moved = [redate_delivery(connection, each, now, zone) for each in settlement.misdated_deliveries]
    yield SettlementOutcome(redated=tuple(one for one in moved if one is not None))
    for begun in replaced([settlement.begun] if settlement.begun else [], bad):
        deliveries.begin(connection, begun.id, now)


def _agent_rows(rows: Iterable[Delivery]) -> Iterator[tuple[str, str | None]]:
    """Yield the rows to agents: their ids, and the ids of the messages that they claim to answer."""
    for delivery in rows:
        row = delivery.row
        if isinstance(row, MessageOut) and delivery.repeatable and not delivery.is_request:
            yield delivery.id, row.in_reply_to


def _reused(
    connection: Connection, rows: Sequence[Delivery]
) -> tuple[tuple[MessageOut | InvalidRow, InvalidRow], ...]:
    """Find rows whose ids were used before, and the bad rows that replace them.

    A delivery under a used id would count as done already, or be done twice.
    """
    used, bad = set(deliveries.used_before(connection, [each.row.id for each in rows])), []
    for row in [each.row for each in rows]:
        if isinstance(row, MessageOut) and row.id in used:
            bad.append((row, invalid_row(row.seq, f"id {row.id} was used before")))
        used.add(row.id)
    return tuple(bad)


def replaced(
    given: Sequence[Delivery], bad: Sequence[tuple[MessageOut | InvalidRow, InvalidRow]]
) -> Sequence[Delivery]:
    """Replace rows by their bad rows."""
    if not bad:
        return given
    replacement = {id(row): instead for row, instead in bad}
    return [
        evolve(each, row=replacement[id(each.row)], slot=None) if id(each.row) in replacement else each
        for each in given
    ]


# -- messages ------------------------------------------------------------------


def _judge(connection: Connection, verdict: Verdict, now: datetime, zone: str) -> SettlementOutcome:
    message = verdict.message
    if isinstance(verdict, Retry):
        messages_in.postpone(connection, message.id, verdict.tries, verdict.after)
        return SettlementOutcome()
    messages_in.settle(connection, message.id, "completed" if isinstance(verdict, Completed) else "failed")
    told = SettlementOutcome()
    if isinstance(verdict, Failed):
        if message.awaits_answer:
            told = SettlementOutcome(
                notices=(notices.add(connection, message, message.id, _failure_text(verdict)),)
            )
        _log.error("session.message_failed", message=message.id, reason=verdict.reason, at=now.isoformat())
    occurrence = tasks.of_row(connection, message.id) if message.task else None
    if occurrence is None:
        return told
    began = verdict.began if isinstance(verdict, Completed) else None
    followed = recurrence.follow(connection, occurrence, began or now, now, zone)
    return SettlementOutcome.of([told, _follow(connection, occurrence, followed)])


def _failure_text(failed: Failed) -> str:
    what = "do a task" if failed.message.task else "answer your message"
    tries = failed.message.tries + 1
    times = f"{tries} {'try' if tries == 1 else 'tries'}"
    return f"I could not {what} after {times}: {in_words(failed.reason)}"


def _follow(connection: Connection, occurrence: Occurrence, followed: Followed) -> SettlementOutcome:
    if followed.stopped is None:
        return SettlementOutcome(opened=tuple(followed.opened))
    text, key = f"A task of yours has stopped: {followed.stopped}", f"stopped-{occurrence.id}"
    notice = notices.add(connection, occurrence.message, key, text)
    return SettlementOutcome(notices=(notice,), opened=tuple(followed.opened))


def _drop_missed(
    connection: Connection, claimed: frozenset[str], now: datetime, zone: str
) -> Iterator[SettlementOutcome]:
    overdue = tasks.overdue(connection, now - recurrence.MISSED_AFTER)
    missed = [each for each in overdue if each.id not in claimed]
    for occurrence, followed in recurrence.drop_missed(connection, missed, now, zone):
        yield SettlementOutcome(closed=(occurrence.id,))
        yield _follow(connection, occurrence, followed)


def _redate(
    connection: Connection, claimed: frozenset[str], now: datetime, zone: str
) -> Iterator[SettlementOutcome]:
    waiting = [each for each in tasks.misdated(connection, now) if each.id not in claimed]
    for occurrence, moved in recurrence.redate(connection, waiting, now, zone):
        yield SettlementOutcome(closed=(occurrence.id,))
        yield SettlementOutcome(opened=(moved,))


def _act(
    connection: Connection, delivery: Delivery, row: MessageOut, context: ActionContext
) -> SettlementOutcome:
    """Perform a request. The action, its outcome and its answer are one commit."""
    answered = actions.perform(connection, row, context)
    if answered is None:
        return SettlementOutcome(handed_on=(delivery,))
    if answered.error is None:
        deliveries.deliver(connection, delivery.id, Receipt(None), context.now)
    else:
        deliveries.fail(connection, delivery.id, answered.error, context.now)
    return SettlementOutcome(opened=tuple(answered.opened), closed=tuple(answered.closed))
