"""Takes the events of the gateway to the host: those of a chat in order, those of several chats concurrently.

An event that the host does not accept is offered again until it does. Later ones of its chat wait meanwhile,
and if many wait, the gateway is not read any further.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import structlog
import trio
from attrs import Factory, define, evolve, field

from nanoclaw.channels.discord import directory as places
from nanoclaw.channels.discord.directory import Directory
from nanoclaw.channels.discord.progress import Progress
from nanoclaw.channels.discord.receiving import (
    Me,
    Place,
    channel_of,
    deletions,
    kind_of,
    message_event,
    message_in,
    reaction_event,
)
from nanoclaw.channels.discord.values import Dispatch, Session
from nanoclaw.channels.discord.wire import Message, Unreadable
from nanoclaw.channels.handover import FIRST_PAUSE_S, LONGEST_PAUSE_S, Handover
from nanoclaw.channels.in_order import InOrder
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.state import StateError
from nanoclaw.records import Address, BadEvent, ChatRenamed, Event, InboundEvent, NotAccepted, Routed

MOST_WAITING = 1_000
"""Limit of events that wait for the host. At the limit, the gateway is read no further."""
MOST_CAUGHT_UP = 5_000
"""Limit of messages of a chat that are fetched after a gap."""
MOST_LATEST = 1_000
PAGE = 100

_log = structlog.get_logger()


class Network(Protocol):
    """The calls that need the connection."""

    me: Me

    @property
    def session(self) -> Session | None:
        """The session of the gateway."""
        ...

    async def call(self, method: str, path: str, *, json: object = None, **parameters: str) -> Any:
        """Call a method of the HTTP API."""
        ...

    async def history(self, channel_id: str, *, after: str | None) -> Any:
        """Return messages."""
        ...


@define(eq=False)
class Incoming:
    """The events of one connection on their way to the host."""

    network: Network
    handover: Handover
    directory: Directory
    progress: Progress
    media: Media
    trusted: str
    """The address of the HTTP API, whose server may be private."""
    interact: Callable[[Any], Awaitable[None]]
    """Answers an interaction."""
    nursery: trio.Nursery
    ready: trio.Event = Factory(trio.Event)
    latest: OrderedDict[Address, str] = Factory(OrderedDict)
    """The last message of each chat and thread that the host has."""
    _chats: InOrder = field(init=False)
    _room: trio.Semaphore = Factory(lambda: trio.Semaphore(MOST_WAITING))
    _fetching: trio.CapacityLimiter = Factory(lambda: trio.CapacityLimiter(4))

    def __attrs_post_init__(self) -> None:
        """Run the work of each chat in the nursery."""
        self._chats = InOrder(self.nursery)

    async def take(self, dispatch: Dispatch) -> None:
        """Take an event. Return when there is room for the next one."""
        if dispatch.name == "READY":
            await self._begin()
            return
        self.progress.begin(dispatch.sequence)
        if dispatch.name == "RESUMED":
            self.ready.set()
        try:
            job = self._job(dispatch)
        except Unreadable as error:
            _log.warning("discord.event_unreadable", event_name=dispatch.name, reason=str(error))
            job = None
        if job is None:
            self.progress.done(dispatch.sequence, self.progress.current)
        else:
            await self._put(*job, dispatch.sequence)

    def _job(self, dispatch: Dispatch) -> tuple[str, Callable[[], Awaitable[None]]] | None:
        """Return the queue of an event and what to do for it, or None."""
        name, data = dispatch.name, dispatch.data
        if name in places.EVENTS:
            return self._learnt(name, data)
        if name == "INTERACTION_CREATE":
            return f"interaction {dispatch.sequence}", partial(self.interact, data)
        handle = _HANDLERS.get(name)
        return (chat := channel_of(data), partial(handle, self, chat, data)) if handle else None

    def _learnt(self, name: str, data: Any) -> tuple[str, Callable[[], Awaitable[None]]] | None:
        """Learn of a chat or server. Return what to do if a chat has a new name."""
        chat = data.get("id") if isinstance(data, dict) and name == "CHANNEL_UPDATE" else None
        before = self.directory.name(chat) if isinstance(chat, str) else None
        self.directory.learn(name, data)
        if before is None or before == self.directory.name(str(chat)):
            return None
        return str(chat), partial(self._renamed, str(chat), data)

    async def _put(self, queue: str, do: Callable[[], Awaitable[None]], sequence: int) -> None:
        await self._room.acquire()
        self._chats.put(queue, partial(self._finish, do, sequence, self.progress.current))

    async def _finish(
        self, do: Callable[[], Awaitable[None]], sequence: int, session: Session | None
    ) -> None:
        """Do what an event of a session asks for, and note that it is done."""
        await insist(do)
        self.progress.done(sequence, session)
        self._room.release()

    # -- a new session --

    async def _begin(self) -> None:
        """Begin a session after a gap: fetch what was missed in each chat before its next event."""
        if self.network.session is not None:
            self.progress.begin_session(self.network.session)
        self.ready.set()
        for chat in self.progress.chats:
            await self._put(chat, partial(self._catch_up, chat), 0)

    async def _catch_up(self, chat: str) -> None:
        async with self._fetching:
            for _ in range(MOST_CAUGHT_UP // PAGE):
                try:
                    found = await self.network.history(chat, after=self.progress.last(chat))
                except DeliveryRejected as error:
                    _log.info("discord.chat_is_gone", chat=chat, reason=str(error))
                    self.progress.forget(chat)
                    return
                for data in found:
                    await insist(partial(self._created, chat, data))
                if len(found) < PAGE:
                    return
                self.progress.saw(chat, found[-1]["id"])
        _log.warning("discord.gap", chat=chat, fetched=MOST_CAUGHT_UP)

    # -- events of chats --

    async def _created(self, chat: str, data: Any) -> None:
        await self._message(chat, data, edited=False)

    async def _edited(self, chat: str, data: Any) -> None:
        await self._message(chat, data, edited=True)

    async def _message(self, chat: str, data: Any, *, edited: bool) -> None:
        message, me = message_in(data), self.network.me
        if not edited and self.progress.has(chat, message.id):
            return
        place = await self._place(chat, data)
        event = message_event(message, place, me, edited=edited)
        if event is None:
            return
        routed = await self._with_files(event, message)
        if routed.dropped is None and not edited:
            self.progress.saw(chat, message.id)
            self.latest[place.address] = message.id
            self.latest.move_to_end(place.address)
            if len(self.latest) > MOST_LATEST:
                self.latest.popitem(last=False)

    async def _with_files(self, event: InboundEvent, message: Message) -> Routed:
        """Fetch the files of a message, and offer it with them."""
        async with self.media.files() as files:
            for each in message.attachments:
                kind = kind_of(each.content_type)
                await files.fetch(kind, each.filename, each.url, size=each.size, trusted=(self.trusted,))
            said = evolve(event.message, text=files.text(event.message.text), attachments=files.attachments)
            return await self.handover.offer(evolve(event, message=said))

    async def _renamed(self, chat: str, data: Any) -> None:
        place = await self._place(chat, data)
        if place.name:
            await self.handover.offer(ChatRenamed(place.address, f"renamed:{chat}", place.name))

    async def _deleted(self, chat: str, data: Any) -> None:
        for event in deletions(data, await self._place(chat, data)):
            await self.handover.offer(event)

    async def _reacted(self, chat: str, data: Any) -> None:
        await self._offer(reaction_event(data, await self._place(chat, data), self.network.me, removed=False))

    async def _unreacted(self, chat: str, data: Any) -> None:
        await self._offer(reaction_event(data, await self._place(chat, data), self.network.me, removed=True))

    async def _offer(self, event: Event | None) -> Routed | None:
        return None if event is None else await self.handover.offer(event)

    async def _place(self, chat: str, data: Any) -> Place:
        return await self.directory.place(
            chat, partial(self.network.call, "GET"), in_guild="guild_id" in data
        )


_HANDLERS: dict[str, Callable[[Incoming, str, Any], Awaitable[None]]] = {
    "MESSAGE_CREATE": Incoming._created,  # noqa: SLF001 -- the table of this module
    "MESSAGE_DELETE": Incoming._deleted,  # noqa: SLF001
    "MESSAGE_DELETE_BULK": Incoming._deleted,  # noqa: SLF001
    "MESSAGE_REACTION_ADD": Incoming._reacted,  # noqa: SLF001
    "MESSAGE_REACTION_REMOVE": Incoming._unreacted,  # noqa: SLF001
    "MESSAGE_UPDATE": Incoming._edited,  # noqa: SLF001
}


async def insist(do: Callable[[], Awaitable[None]]) -> None:
    """Repeat something until the host has its event. An event that it will never take is logged."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await do()
        except (NotAccepted, ChannelUnavailable, StateError, OSError) as error:
            _log.info("discord.event_waits", reason=str(error), again_in_s=pause_s)
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        except (BadEvent, Unreadable) as error:
            _log.warning("discord.event_refused", reason=str(error))
            return
        else:
            return
