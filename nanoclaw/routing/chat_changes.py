"""Changes of chats: names of chats and users follow what the network reports.

Joining gives nobody rights, and leaving takes none: rights are those of `docs/permissions.md`.
"""

import structlog

from nanoclaw.records import ChatChange, ChatRenamed, Joined, Left
from nanoclaw.registry import EnsureChat, EnsureUser
from nanoclaw.store import Connection
from nanoclaw.store.central import messaging_groups, users

_log = structlog.get_logger()


def follower(connection: Connection, change: ChatChange) -> EnsureChat | EnsureUser | None:
    """Return the message to the registry after which names are as the network has them.

    None: they are so already, or the chat or user is unknown. A network with many of them makes no rows.
    """
    if isinstance(change, ChatRenamed):
        return _of_chat(connection, change)
    if change.is_me:
        told = "routing.joined_chat" if isinstance(change, Joined) else "routing.left_chat"
        _log.info(told, channel=change.address.channel_type, chat=change.address.platform_id)
        return None
    return _of_user(connection, change)


def _of_chat(connection: Connection, change: ChatRenamed) -> EnsureChat | None:
    where = change.address
    chat = messaging_groups.by_address(connection, where.channel_type, where.platform_id)
    if chat is None or chat.name == change.name:
        return None
    return EnsureChat(where, change.name, chat.is_group)


def _of_user(connection: Connection, change: Joined | Left) -> EnsureUser | None:
    user = users.get(connection, change.user_id)
    if user is None or change.user in {"", user.display_name}:
        return None
    return EnsureUser(change.user_id, change.user)
