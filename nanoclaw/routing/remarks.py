"""Deletions and reactions. They go, as context, to the sessions that have the message."""

from collections.abc import Sequence

import structlog
import trio
from attrs import frozen

from actors import Ref
from nanoclaw.records import MessagingGroup, Reacted, Remark, Routed, Session, Wiring
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import ParkEvent, Registry
from nanoclaw.routing.access import refusal
from nanoclaw.routing.engagement import listens_to, rules_of
from nanoclaw.routing.plan_parts import session_key
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.session.conversations import conversation
from nanoclaw.store import Connection, DamagedRow, Reader
from nanoclaw.store.central import messaging_groups, sessions, wirings
from nanoclaw.store.central.people import identities
from nanoclaw.store.engine.mutex import Places

TAKEN_BACK = "a reaction that was taken back is not passed on"
ELSEWHERE = "no agent has the message that it is about"
UNHEARD = "no agent listens to the user"

_log = structlog.get_logger()


@frozen
class Audience:
    """The conversations that may have the message, and the reason for dropping the event if there is none."""

    conversations: Sequence[Conversation] = ()
    parked: Sequence[str] = ()
    """The ids of sessions whose rows are damaged."""
    dropped: str = ELSEWHERE


def audience(connection: Connection, remark: Remark) -> Audience:
    """Return who may have the message: the open sessions of the chat whose agents hear the user.

    A deletion by nobody in particular reaches all of them.

    Raises:
        DamagedRow: the row of the chat cannot be read, or that of a wiring, and no other session is found.
    """
    chat = messaging_groups.by_address(connection, remark.address.channel_type, remark.address.platform_id)
    if chat is None:
        return Audience()
    wired, damaged = wirings.split_for_chat(connection, chat.id)
    user = remark.sender_id
    ids = () if user is None else identities(connection, user)
    heard = [wiring for wiring in wired if _hears(connection, chat, wiring, ids)]
    found, parked = list[Conversation](), list[str]()
    for wiring in heard:
        try:
            session = sessions.find_open(connection, *session_key(wiring, remark.address.thread_id))
            found += [conversation(connection, session)] if session else []
        except DamagedRow as error:
            parked += [error.id] if error.kind == Session.__name__ else []
    if damaged and not found and not parked:
        raise damaged[0]
    return Audience(tuple(found), tuple(parked), ELSEWHERE if heard or not wired else UNHEARD)


def _hears(connection: Connection, chat: MessagingGroup, wiring: Wiring, ids: tuple[str, ...]) -> bool:
    if not ids:
        return rules_of(wiring) is not None
    return refusal(connection, chat, wiring.agent_group_id, ids[0]) is None and listens_to(wiring, *ids)


@frozen
class Remarks:
    """Stores deletions and reactions in sessions, or parks them for sessions that are down."""

    central: Reader
    registry: Ref[Registry]
    sessions: Sessions
    places: Places

    async def store(self, remark: Remark) -> Routed:
        """Offer the event to all conversations. When this returns, it is on disk where it is accepted."""
        if isinstance(remark, Reacted) and remark.removed:
            await trio.lowlevel.checkpoint()
            return Routed(dropped=TAKEN_BACK)
        async with self.places:
            found = await self.central.run(audience, remark)
        for id_ in found.parked:
            await self._park(remark, id_, "its row is damaged")
        told = [each.session.id for each in found.conversations if await self._tell(each, remark)]
        ids = (*found.parked, *told)
        return Routed(ids, (remark.message_id,) * len(ids)) if ids else Routed(dropped=found.dropped)

    async def _tell(self, conversation: Conversation, remark: Remark) -> bool:
        """Return whether the session has the event now. One that is down gets it when it is up again."""
        try:
            return await self.sessions.accept(conversation, remark, trigger=False)
        except SessionDown as error:
            await self._park(remark, conversation.session.id, str(error))
            self.sessions.replay(conversation)
            return True

    async def _park(self, remark: Remark, session_id: str, reason: str) -> None:
        _log.warning("routing.parked", session=session_id, reason=reason)
        await self.registry.ask(ParkEvent(session_id, dump_parked(remark, trigger=False), reason))
