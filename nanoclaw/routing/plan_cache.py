"""Keeps the parts of plans until a commit changes a row that they were read from."""

from collections.abc import Mapping
from typing import TypeVar

from attrs import Factory, define

from nanoclaw.records import Address
from nanoclaw.routing.plan_parts import ChatPart, PairPart, Parts, SenderPart
from nanoclaw.store.engine.row_changes import Changed, ChangedRow

K = TypeVar("K")
V = TypeVar("V")
MAX_CHATS, MAX_SENDERS = 4096, 16_384
MAX_IN_CHAT = 256
"""Limits of kept chats, of senders, and of the threads and the senders of one chat. The oldest is dropped."""

Place = tuple[str, str]
"""A network and a chat on it."""

_CHAT_OF: Mapping[str, str] = {
    "messaging_groups": "id",
    "messaging_group_agents": "messaging_group_id",
    "sessions": "messaging_group_id",
    "refusals": "messaging_group_id",
    "held_messages": "messaging_group_id",
    "user_dms": "messaging_group_id",
}
"""Tables with rows that concern one chat, and the column that names it. NULL: all chats."""
_SENDER_OF: Mapping[str, str] = {
    "users": "id",
    "user_roles": "user_id",
    "agent_group_members": "user_id",
    "user_dms": "user_id",
}
"""Tables with rows that concern one sender, and the column that names them."""
_IN_PLACE = frozenset({"pending_questions"})
"""Tables with rows that concern one place."""
UNREAD = frozenset(
    {
        "meta",
        "parked_events",
        "unregistered_senders",
        "performed_actions",
        "usage",
        "budgets",
        "budget_resets",
        "budget_alerts",
        "network_sites",
        "approval_askers",
        "approval_rules",
        "agent_destinations",
        "engaged_threads",
        "closed_questions",
        "answering_messages",
        "chat_sdk_kv",
        "chat_sdk_subscriptions",
        "chat_sdk_locks",
        "chat_sdk_lists",
    }
)
"""Tables that no plan reads. A change of any other table drops all parts."""


@define(eq=False)
class _KeptChat:
    """The parts of one chat: of its threads, and of the senders in it."""

    threads: dict[str | None, ChatPart] = Factory(dict)
    senders: dict[str, PairPart] = Factory(dict)


@define(eq=False)
class PlanCache:
    """The parts that are valid now."""

    _chats: dict[Place, _KeptChat] = Factory(dict)
    _places: dict[str, Place] = Factory(dict)
    """The places of kept chats, by their ids."""
    _senders: dict[str, SenderPart] = Factory(dict)
    _linked: set[str] = Factory(set)
    """Kept senders with several identities. They depend on rows of all of these."""

    def get(self, address: Address, sender: str | None) -> Parts:
        """Return the parts that are kept for an event of a sender."""
        chat = self._chats.get((address.channel_type, address.platform_id))
        part = None if chat is None else chat.threads.get(address.thread_id)
        if sender is None:
            return Parts(part)
        pair = None if chat is None or part is None else chat.senders.get(sender)
        return Parts(part, self._senders.get(sender), pair)

    def put(self, address: Address, parts: Parts) -> None:
        """Keep parts. No row that they were read from may have changed since."""
        if parts.sender is not None:
            self._put_sender(parts.sender)
        if parts.chat is None or parts.chat.chat is None:
            return
        place = (address.channel_type, address.platform_id)
        chat = self._chats.pop(place, None) or _KeptChat()
        while len(self._chats) >= MAX_CHATS:
            self._drop_place(next(iter(self._chats)))
        self._chats[place], self._places[parts.chat.chat.id] = chat, place
        _keep(chat.threads, address.thread_id, parts.chat, MAX_IN_CHAT)
        if parts.pair is not None and parts.sender is not None:
            _keep(chat.senders, parts.sender.id, parts.pair, MAX_IN_CHAT)

    def _put_sender(self, sender: SenderPart) -> None:
        _keep(self._senders, sender.id, sender, MAX_SENDERS)
        if len(sender.identities) > 1:
            self._linked.add(sender.id)

    def drop(self, changed: Changed) -> None:
        """Drop all parts that were read from changed rows."""
        if changed is None:
            self.clear()
            return
        for row in changed:
            self._drop_row(row)

    def clear(self) -> None:
        """Drop all parts."""
        self._drop_chats()
        self._senders.clear()
        self._linked.clear()

    def _drop_row(self, row: ChangedRow) -> None:
        table, values = row.table, row.values
        if table in _CHAT_OF:
            self._drop_chat(values.get(_CHAT_OF[table]))
        if table in _SENDER_OF:
            self._drop_sender(str(values.get(_SENDER_OF[table])))
        if table in _IN_PLACE:
            self._drop_place((str(values.get("channel_type")), str(values.get("platform_id"))))
        if not (table in _CHAT_OF or table in _SENDER_OF or table in _IN_PLACE or table in UNREAD):
            self.clear()

    def _drop_chat(self, id_: object) -> None:
        if id_ is None:
            self._drop_chats()
        elif place := self._places.get(str(id_)):
            self._drop_place(place)

    def _drop_chats(self) -> None:
        self._chats.clear()
        self._places.clear()

    def _drop_place(self, place: Place) -> None:
        chat = self._chats.pop(place, None)
        for part in chat.threads.values() if chat is not None else ():
            if part.chat is not None:
                self._places.pop(part.chat.id, None)

    def _drop_sender(self, id_: str) -> None:
        for each in (id_, *self._linked):
            self._senders.pop(each, None)
        self._linked.clear()


def _keep(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep a value as the newest one. If there are too many, drop the oldest."""
    kept.pop(key, None)
    while len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
