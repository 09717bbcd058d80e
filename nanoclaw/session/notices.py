"""The host's own messages to users, kept until they are final. Functions of a connection."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from nanoclaw.records import AGENT, Address
from nanoclaw.records.content import dump_content
from nanoclaw.records.reasons import in_words
from nanoclaw.store import Connection
from nanoclaw.store.session import deliveries
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.outbound import MessageOut


def add(
    connection: Connection, message: OpenMessage, key: str, text: str, *, answer: bool = True
) -> MessageOut:
    """Add a notice to the chat of `message` to the ledger, once per key."""
    seen = deliveries.seen(connection)
    seq = seen + seen % 2  # after the runner's rows so far, and before its later ones
    notice = notice_row(f"{NOTICE}{key}", seq, _notice_content(text, message, answer=answer))
    deliveries.add_notice(connection, notice.id, seq, notice.content)
    return notice


def tell_of_delay(connection: Connection, waiting: Sequence[OpenMessage], reason: str) -> list[MessageOut]:
    """Tell each chat with waiting users, once for its oldest message, that no runner starts."""
    why = in_words(reason).rstrip(". ")
    text = f"I cannot work at the moment: {why}. Your messages are kept. I will answer once this is fixed."
    people = [each for each in waiting if each.address is None or each.address.channel_type != AGENT]
    oldest = {message.address: message for message in reversed(people)}
    keys = {f"delayed-{message.id}": message for message in oldest.values()}
    told = deliveries.used_before(connection, [f"{NOTICE}{key}" for key in keys])
    new = [(key, message) for key, message in keys.items() if f"{NOTICE}{key}" not in told]
    return [add(connection, message, key, text, answer=False) for key, message in new]


def tell_of_breaker(
    connection: Connection, waiting: Sequence[OpenMessage], key: str, text: str
) -> list[MessageOut]:
    """Tell each chat with waiting users that a budget or disk space is used up, once for each key."""
    oldest = {message.address: message for message in reversed(waiting)}
    people = {each: one for each, one in oldest.items() if each is None or each.channel_type != AGENT}
    keys = {f"{key}-{_short(address)}": one for address, one in people.items()}
    told = deliveries.used_before(connection, [f"{NOTICE}{each}" for each in keys])
    new = [(each, one) for each, one in keys.items() if f"{NOTICE}{each}" not in told]
    return [add(connection, one, each, text, answer=False) for each, one in new]


def report_disk(key: str, reason: str, address: Address | None, now: datetime) -> NewMessage:
    """Return a row that tells an agent that its disk space is nearly used up. It wakes nobody."""
    content = {"type": "disk", "status": "nearly_full", "reason": reason}
    return NewMessage(
        id=key, kind="system", timestamp=now, address=address, content=dump_content(content), trigger=False
    )


def _short(address: Address | None) -> str:
    """Return a name of an address for ids."""
    parts = [] if address is None else [address.channel_type, address.platform_id, address.thread_id]
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def tell_at(connection: Connection, address: Address, key: str, text: str) -> list[MessageOut]:
    """Add a notice to an address to the ledger, once per key."""
    id_ = f"{NOTICE}{key}"
    if deliveries.used_before(connection, [id_]):
        return []
    seen = deliveries.seen(connection)
    where = [address.channel_type, address.platform_id, address.thread_id]
    content = json.dumps({"text": text, "address": where, "inReplyTo": None}, ensure_ascii=False)
    notice = notice_row(id_, seen + seen % 2, content)
    deliveries.add_notice(connection, notice.id, notice.seq, notice.content)
    return [notice]


def _notice_content(text: str, message: OpenMessage, *, answer: bool) -> str:
    address = message.address
    where = [address.channel_type, address.platform_id, address.thread_id] if address else None
    answers = message.id if answer and not message.task else None
    return json.dumps({"text": text, "address": where, "inReplyTo": answers}, ensure_ascii=False)


def notice_row(id_: str, seq: int, content: str) -> MessageOut:
    """Return the row of a notice from its stored content."""
    values = json.loads(content)
    where = values.get("address")
    address = Address(*where) if where else None
    return MessageOut(id_, seq, "chat", address, content, values.get("inReplyTo"), None)
