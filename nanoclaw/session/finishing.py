"""The transaction at the end of an attempt: plain functions of a connection, as in `transactions`."""

from datetime import datetime

from attrs import evolve, frozen

from nanoclaw.records import Receipt
from nanoclaw.records.content import dump_content
from nanoclaw.scheduling import ScheduleError, next_run, slot_after
from nanoclaw.session import actions
from nanoclaw.session.outcomes import (
    Delivered,
    DeliveryRefused,
    Held,
    Later,
    Performed,
    Result,
    Undeliverable,
    Unknown,
)
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Connection
from nanoclaw.store.session import agent_messages, deliveries, messages_in, projections, refusals
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.outbound import MessageOut


@frozen
class Finished:
    """The result of an attempt and, for a recurring row, the next delivery."""

    delivery: Delivery
    result: Result
    following: Delivery | None = None
    series_error: str | None = None
    """The reason why a recurring row has no next delivery."""


@frozen
class AttemptEnded:
    """The consequences of a finished attempt."""

    told: tuple[OpenMessage, ...] = ()
    """Messages that report the result to the agent."""
    begun: bool = False
    """True if the start of the next attempt is recorded. Its row may have become a bad row meanwhile."""


def finish(connection: Connection, finished: Finished, begun: Delivery | None, now: datetime) -> AttemptEnded:
    """Commit the result of an attempt with the start of the next one."""
    id_, result = finished.delivery.id, finished.result
    _record(connection, finished.delivery, result, now)
    if isinstance(result, DeliveryRefused):
        refusals.keep(connection, refusals.read(connection).and_one(id_, result.reason))
    if finished.following is not None:
        deliveries.record(connection, [(finished.following.id, finished.following.row.seq)])
        deliveries.note_slot(connection, finished.following.id, now)
        agent_messages.follow_chain(connection, id_, finished.following.id)
    begins = begun is not None and deliveries.is_open(connection, begun.id, begun.row.seq)
    if begun is not None and begins:
        deliveries.begin(connection, begun.id, now)
    return AttemptEnded(_told(connection, finished.delivery, result, now), begins)


def _record(connection: Connection, delivery: Delivery, result: Result, now: datetime) -> None:
    """Record the result of an attempt in the ledger."""
    id_ = delivery.id
    match result:
        case Delivered(receipt):
            chat = delivery.address or projections.routing(connection)
            deliveries.deliver(connection, id_, receipt, now, chat)
        case Undeliverable(reason):
            deliveries.fail(connection, id_, reason, now)
        case Performed(_, _, error) if error is not None:
            deliveries.fail(connection, id_, error, now)
        case Performed():
            deliveries.deliver(connection, id_, Receipt(None), now)
        case Held(reason):
            deliveries.postpone(connection, id_, None, reason, now, asked=False)
        case Later(reason, not_before, asked):
            deliveries.postpone(connection, id_, not_before, reason, now, asked=asked)
        case _:
            deliveries.doubt(connection, id_, result.not_before, result.reason, now)


def redate_delivery(
    connection: Connection, delivery: Delivery, now: datetime, zone: str
) -> tuple[Delivery, Delivery] | None:
    """Move a recurring delivery to the first slot from now on that has not been sent.

    Return it with the new one, or None if it stays. A start that the agent chose is kept.
    """
    row, slot = delivery.row, delivery.slot
    assert isinstance(row, MessageOut)  # noqa: S101 -- a bad row has no slot
    if row.recurrence is None or slot is None or slot == row.deliver_after:
        return None
    try:
        right = slot_after(row.recurrence, slot, now, zone)
        while right < slot and deliveries.is_known(connection, evolve(delivery, slot=right).id):
            right = next_run(row.recurrence, right, zone)
    except ScheduleError:  # the runner has changed the row since
        return None
    if right >= slot:
        return None
    moved = evolve(delivery, slot=right, waits_since=now)
    deliveries.move_slot(connection, delivery.id, moved.id, now)
    return delivery, moved


def _told(
    connection: Connection, delivery: Delivery, result: Result, now: datetime
) -> tuple[OpenMessage, ...]:
    """Store the answer to a request, or the report of a failed delivery, for the agent."""
    match result:
        case Delivered() | Held() | Later():
            return ()
        case Performed(action, answer, error):
            assert isinstance(delivery.row, MessageOut)  # noqa: S101 -- a bad row is never performed
            stored = actions.store_answer(
                connection, delivery.row, now, action, answer, failed=error is not None
            )
            return tuple(stored)
        case _:
            return _tell_agent(connection, delivery, result, now)


def _tell_agent(
    connection: Connection, delivery: Delivery, result: Undeliverable | Unknown, now: datetime
) -> tuple[OpenMessage, ...]:
    """Report to the agent that its message was not delivered, or perhaps not.

    The report does not wake the agent. Otherwise an agent that retries and fails again would loop.
    """
    if delivery.id.startswith(NOTICE) or messages_in.has_enough_reports(connection):
        return ()
    status = "failed" if isinstance(result, Undeliverable) else "unknown"
    content = {"type": "delivery", "status": status, "messageId": delivery.row.seq, "reason": result.reason}
    told = messages_in.insert(
        connection,
        NewMessage(
            id=f"delivery-{status}-{delivery.id}",
            kind="system",
            timestamp=now,
            address=delivery.address,
            content=dump_content(content),
            trigger=False,
        ),
    )
    return (told,) if told else ()
