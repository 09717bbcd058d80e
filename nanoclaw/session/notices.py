"""The host's own messages to users, kept until they are final. Functions of a connection."""

import json
from collections.abc import Sequence

from nanoclaw.records import AGENT, Address
from nanoclaw.records.reasons import in_words
from nanoclaw.store import Connection
from nanoclaw.store.session import deliveries
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import OpenMessage
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
