"""Finds the platform's id of a message that an agent edits or reacts to.

Our runner gives the platform's own id. Other runners give the id of the row in `messages_in` or
`messages_out`, which no platform knows.
"""

import re

import apsw

from nanoclaw.records import Address
from nanoclaw.store.session import deliveries

_OURS = re.compile(r"in-[0-9a-f]{32}")
"""The form of `InboundEvent.message_id`. No platform has such ids."""
_IN_CHATS = ("chat", "chat-sdk")


class NoSuchMessage(Exception):
    """The message does not exist in this chat, or has no id on its platform. The text is for the agent."""


def platform_id(connection: apsw.Connection, id_: str, chat: Address, own_chat: Address | None) -> str:
    """Return the platform's id of a message in `chat`, given the id of its row or the platform's id.

    An id that no row has counts as the platform's own. `own_chat` is that of the session.

    Raises:
        NoSuchMessage: there is no such message, it is in another chat, or its platform has no id for it.
    """
    found = _received(connection, id_, chat, own_chat) or _sent(connection, id_)
    if found is None and _OURS.fullmatch(id_):
        raise NoSuchMessage(f"there is no message {id_}")
    return found or id_


def _received(connection: apsw.Connection, id_: str, chat: Address, own_chat: Address | None) -> str | None:
    row = connection.execute(
        """
        SELECT kind, channel_type, platform_id, iif(json_valid(content), json_extract(content, '$.id'), NULL)
        FROM messages_in WHERE id = ?
        """,
        (id_,),
    ).fetchone()
    if row is None:
        return None
    kind, channel_type, place, found = row
    if found is None and not _OURS.fullmatch(id_):
        found = id_  # other builds give the row the platform's id
    if kind not in _IN_CHATS or not isinstance(found, str | int) or found == "":
        raise NoSuchMessage(f"message {id_} is not a message of a chat")
    own = own_chat and (own_chat.channel_type, own_chat.platform_id)
    if ((channel_type, place) if channel_type else own) != (chat.channel_type, chat.platform_id):
        raise NoSuchMessage(f"message {id_} is in another chat")
    return str(found)


def _sent(connection: apsw.Connection, id_: str) -> str | None:
    """Return the id of a message of the agent; of a recurring one, that of its last delivery."""
    row = connection.execute(
        """
        SELECT status, platform_message_id FROM delivered
        WHERE message_out_id = :id OR (message_out_id > :id || '@' AND message_out_id < :id || 'A')
        ORDER BY delivered_at DESC LIMIT 1
        """,
        {"id": id_},
    ).fetchone()
    if row is None:
        if deliveries.used_before(connection, [id_]):
            raise NoSuchMessage(f"message {id_} is not delivered yet")
        return None
    status, found = row
    if status != "delivered":
        raise NoSuchMessage(f"message {id_} could not be delivered")
    if not found:
        raise NoSuchMessage(f"message {id_} cannot be changed: its channel has no message ids")
    return str(found)
