"""What the session commits: the transactions of its `inbound.db`, each a plain function of a connection."""

import json
from collections.abc import Sequence
from datetime import datetime

import structlog
from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.session.attempt import NOTICE, Delivered, Later, Result, Undeliverable
from nanoclaw.session.pending import Completed, Failed, Retry, Verdict
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Connection, deliveries, messages_in, projections
from nanoclaw.store.messages_in import NewMessage, OpenMessage
from nanoclaw.store.outbound import BadRow, MessageOut
from nanoclaw.store.projections import CentralView

_log = structlog.get_logger()


@frozen
class Memory:
    """What a session actor remembers from its file when it is born."""

    open: list[OpenMessage]
    ledger: list[deliveries.LedgerEntry]
    notices: dict[str, str]
    """The content of the host's own messages that are not final, by id."""
    own_seq: int
    seen_seq: int
    delivered_before: frozenset[str]
    """What another build delivered from this file."""


def remember(connection: Connection) -> Memory:
    """Read it."""
    ledger = deliveries.open_entries(connection)
    ids = [entry.message_out_id for entry in ledger if entry.message_out_id.startswith(NOTICE)]
    return Memory(
        open=messages_in.open_messages(connection),
        ledger=ledger,
        notices={id_: deliveries.notice(connection, id_) or "{}" for id_ in ids},
        own_seq=messages_in.largest_seq(connection),
        seen_seq=deliveries.seen(connection),
        delivered_before=deliveries.delivered_by_another_build(connection),
    )


def store(connection: Connection, message: NewMessage) -> OpenMessage | None:
    """One new message; None if it is there already."""
    return messages_in.insert(connection, message)


def store_and_follow(connection: Connection, message: NewMessage) -> OpenMessage | None:
    """One new message of a session without a chat of its own: replies go where it came from."""
    projections.write_routing(connection, message.address)
    return messages_in.insert(connection, message)


def project(connection: Connection, view: CentralView, chat: Address | None) -> None:
    """The projections of a wake."""
    projections.write_destinations(connection, view.destinations)
    projections.write_routing(connection, chat)


@frozen
class Settlement:
    """What one look brings: decisions, new rows, attempts of unknown outcome, and the attempt that starts."""

    verdicts: Sequence[Verdict] = ()
    rows: Sequence[MessageOut | BadRow] = ()
    doubts: Sequence[tuple[Delivery, Result]] = ()
    begun: Delivery | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.verdicts or self.rows or self.doubts or self.begun)


def settle(connection: Connection, settlement: Settlement, now: datetime) -> list[MessageOut]:
    """Commit it. Returns the notices to users that follow."""
    verdicts = settlement.verdicts
    deliveries.record(connection, [(row.id, row.seq) for row in settlement.rows])
    for delivery, result in settlement.doubts:
        finish(connection, delivery, result, None, now)
    if settlement.begun is not None:
        deliveries.begin(connection, settlement.begun.id, now)
    notices = [_judge(connection, verdict) for verdict in verdicts]
    return [_add_notice(connection, notice, now) for notice in notices if notice is not None]


def _judge(connection: Connection, verdict: Verdict) -> Failed | None:
    match verdict:
        case Completed(message):
            messages_in.settle(connection, message.id, "completed")
        case Failed(message):
            messages_in.settle(connection, message.id, "failed")
            return verdict
        case Retry(message, tries, after):
            messages_in.postpone(connection, message.id, tries, after)
    return None


def _add_notice(connection: Connection, failed: Failed, now: datetime) -> MessageOut:
    text = f"I could not answer your message after {failed.message.tries + 1} tries: {failed.reason}"
    message = failed.message
    seq = max(messages_in.mark(connection, "seq"), deliveries.seen(connection))
    notice = notice_row(f"{NOTICE}{message.id}", seq, _notice_content(text, message))
    deliveries.add_notice(connection, notice.id, seq, notice.content)
    _log.error("session.message_failed", message=message.id, reason=failed.reason, at=now.isoformat())
    return notice


def _notice_content(text: str, message: OpenMessage) -> str:
    address = message.address
    where = [address.channel_type, address.platform_id, address.thread_id] if address else None
    return json.dumps({"text": text, "address": where, "inReplyTo": message.id}, ensure_ascii=False)


def notice_row(id_: str, seq: int, content: str) -> MessageOut:
    """The row of a message of the host's own, from its kept content."""
    values = json.loads(content)
    where = values.get("address")
    address = Address(*where) if where else None
    return MessageOut(id_, seq, "chat", address, content, values.get("inReplyTo"), None)


def finish(
    connection: Connection, delivery: Delivery, result: Result, begun: Delivery | None, now: datetime
) -> None:
    """What became of an attempt, and the start of the next one, in one transaction."""
    match result:
        case Delivered(receipt):
            deliveries.deliver(connection, delivery.id, receipt, now)
        case Undeliverable(reason):
            deliveries.fail(connection, delivery.id, reason, now)
        case Later(reason, not_before):
            deliveries.postpone(connection, delivery.id, not_before, reason)
        case _:
            deliveries.doubt(connection, delivery.id, result.not_before, result.reason)
    if begun is not None:
        deliveries.begin(connection, begun.id, now)
