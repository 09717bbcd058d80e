"""The router: the intake of all channels. It runs in the receivers' tasks and keeps the order of a chat."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
import trio
from attrs import Factory, define, evolve, frozen

from actors import ActorError, Ref
from nanoclaw.records import (
    Address,
    Attended,
    Clicked,
    Event,
    NotAccepted,
    Remark,
    Routed,
    Said,
    Session,
    Webhook,
    received,
)
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import (
    Changes,
    EnsureChat,
    EnsureUser,
    OpenSession,
    ParkEvent,
    RecordUnregisteredSender,
    Registry,
)
from nanoclaw.routing.clicks import (
    CardClick,
    Choice,
    Clicks,
    DroppedClick,
    Shows,
    as_answer,
    check_answer,
    check_click,
)
from nanoclaw.routing.engaged import EngagedThreads
from nanoclaw.routing.plan import Plan, PlanCache, Routable, Target, plan
from nanoclaw.routing.refused import Refused
from nanoclaw.routing.remarks import Remarks
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.store import DamagedRow, Reader, StoreError
from nanoclaw.store.engine.mutex import Mutex, Places
from nanoclaw.system.patterns import InThread

UNWIRED = "no agent is wired to this chat"
"""The reason for dropping a message that no agent gets."""
MAX_CONCURRENT = 64
"""Number of chats whose events are looked up at once. The others wait."""

_log = structlog.get_logger()


@define(eq=False)
class _ChatQueue:
    """The queue of one chat, and the number of tasks in it."""

    lock: Mutex = Factory(Mutex)
    users: int = 0


@frozen
class _Engaged:
    """A target that takes an event: it wakes the agent, or is context."""

    target: Target
    wakes: bool


@define(eq=False)
class Router:
    """Routes events: identity, access, engagement, sessions. It implements `Intake`."""

    _central: Reader
    _registry: Ref[Registry]
    _changes: Changes
    _sessions: Sessions
    _engaged_threads: EngagedThreads
    _in_thread: InThread
    """Runs the matching of long texts in a worker thread."""
    _shows: Shows = Factory(Shows)
    _plans: PlanCache = Factory(PlanCache)
    _chats: dict[tuple[str, str], _ChatQueue] = Factory(dict)
    _places: Places = Factory(lambda: Places(MAX_CONCURRENT))
    refused: Refused = Factory(Refused)

    async def offer(self, event: Event) -> Routed:
        """Route one event. When this returns, an accepted event is on disk.

        Raises:
            NotAccepted: the event is not stored. Offer it again later.
            BadEvent: a value in it does not fit. Nothing is stored.
        """
        event = received(event)
        try:
            routed = await self._offer(event)
        except (StoreError, ActorError, DamagedRow) as error:
            self.refused.note(event.address, str(error))
            raise NotAccepted(f"the event could not be stored: {error}") from error
        self.refused.clear(event.address)
        return routed

    async def _offer(self, event: Event) -> Routed:
        if isinstance(event, Attended):
            self._sessions.attended(event.address)
            self._changes.tell_attended()
            return Routed()
        if isinstance(event, Clicked):
            return await self._click(event)
        if isinstance(event, Remark):
            return await self._remark(event)
        if not isinstance(event, Webhook) and event.message.is_from_me:
            return Routed(dropped="the message is the assistant's own")
        return await self._route(event)

    async def _remark(self, remark: Remark) -> Routed:
        """Handle a deletion or a reaction in the order of its chat's messages."""
        with self._queue(remark.address) as queue:
            async with queue.lock:
                return await Remarks(self._central, self._registry, self._sessions, self._places).store(
                    remark
                )

    async def _click(self, click: Clicked) -> Routed:
        """Handle a click in the order of its chat's messages. Only the first of two clicks counts."""
        with self._queue(click.address) as queue:
            async with queue.lock:
                async with self._places:
                    found = await self._central.run(check_click, click)
                clicks = Clicks(self._registry, self._sessions)
                if isinstance(found, DroppedClick):
                    return await clicks.drop(click, found)
                if isinstance(found, CardClick):
                    return await clicks.decide(found.decision)
                if isinstance(found, Choice):
                    return await clicks.choose(click, found)
                return await clicks.store(click, found)

    async def _route(self, event: Routable) -> Routed:
        with self._queue(event.address) as queue:
            # No checkpoint before the chat's queue is entered: this keeps the order of the offers.
            async with queue.lock:
                async with self._places:
                    found = await self._plan(event)
                    if answered := await self._answer(event, found):
                        return answered
                engaged = await self._engaged(event, found)
                async with self._places:
                    dropped = await self._admit(event, found)
                    parked, conversations = await self._conversations(event, engaged)
                if parked or len(conversations) > 1:
                    return await self._store_all(event, conversations, parked)
            # No checkpoint between releasing the lock and entering the session's mailbox. This keeps the
            # order, and lets one commit store this event together with the chat's next one.
            if conversations:
                return await self._store_all(event, conversations)
            await trio.lowlevel.checkpoint()  # with a cached plan there was no other checkpoint
            return Routed(dropped=dropped)

    @contextmanager
    def _queue(self, address: Address) -> Iterator[_ChatQueue]:
        key = (address.channel_type, address.platform_id)
        queue = self._chats.setdefault(key, _ChatQueue())
        queue.users += 1
        try:
            yield queue
        finally:
            queue.users -= 1
            if not queue.users:
                del self._chats[key]

    async def _plan(self, event: Routable) -> Plan:
        found = self._plans.get(event, self._changes.version)
        if found is None:
            version = self._changes.version
            found = await self._central.run(plan, event)
            self._plans.put(event, version, found)
            for damaged in found.damaged:
                _log.error("routing.row_damaged", chat=event.address.platform_id, reason=str(damaged))
        return found

    async def _answer(self, event: Routable, found: Plan) -> Routed | None:
        """Store the message as an answer to a question. Return None if it answers none."""
        if isinstance(event, Webhook):
            return None
        answering = as_answer(event, found.waiting, self._shows)
        if answering is None:
            return None
        if isinstance(answering, CardClick):
            return await Clicks(self._registry, self._sessions).decide(answering.decision)
        valid = await self._central.run(check_answer, answering, event.address)
        if isinstance(valid, DroppedClick):
            return None
        said = evolve(valid, answer=evolve(valid.answer, said=event))
        routed = await Clicks(self._registry, self._sessions).store(answering, said)
        return None if routed.dropped else routed

    async def _engaged(self, event: Routable, found: Plan) -> list[_Engaged]:
        """Return the targets that take the event. Call it without a place: a match may take seconds."""
        considered = [
            (target, await target.engagement(event, self._engaged_threads, self._in_thread))
            for target in found.targets
            if target.refused is None
        ]
        return [_Engaged(target, how == "wake") for target, how in considered if how != "ignore"]

    async def _admit(self, event: Routable, found: Plan) -> str:
        """Create the user and the chat if they are new, and record refusals.

        Return the reason why the event is dropped if no target takes it.
        """
        if not found.user_known and not isinstance(event, Webhook):
            await self._registry.ask(EnsureUser(event.message.sender_id, event.message.sender))
        if found.chat is None:
            await self._registry.ask(EnsureChat(event.address, event.chat_name, event.is_group))
            _log.info("routing.new_chat", channel=event.address.channel_type, chat=event.address.platform_id)
        if found.damaged and not found.targets:
            raise NotAccepted(f"nobody can take the event now: {found.damaged[0]}")
        if not found.targets:
            await self._record_unwired(event, found)
            return UNWIRED
        dropped = "no agent listens to this message"
        for target in found.targets:
            if target.refused is not None and not isinstance(event, Webhook):
                await self._record_unregistered(event, target, target.refused)
                dropped = "the sender is not known here"
        return dropped

    async def _record_unwired(self, event: Routable, found: Plan) -> None:
        """Count a message that no agent gets, so that `nanoclaw dropped list` shows it."""
        id_, name = (None, event.source) if isinstance(event, Webhook) else _sender(event)
        chat = found.chat.id if found.chat is not None else None
        await self._registry.ask(RecordUnregisteredSender(event.address, id_, name, UNWIRED, chat, None))

    async def _record_unregistered(self, event: Said, target: Target, reason: str) -> None:
        (id_, name), wiring = _sender(event), target.wiring
        _log.warning(
            "routing.unregistered_sender",
            sender=id_,
            chat=event.address.platform_id,
            reason=reason,
        )
        await self._registry.ask(
            RecordUnregisteredSender(
                event.address,
                id_,
                name,
                reason,
                wiring.messaging_group_id,
                wiring.agent_group_id,
            )
        )

    async def _conversations(
        self, event: Routable, engaged: Sequence[_Engaged]
    ) -> tuple[list[str], list[tuple[_Engaged, Conversation]]]:
        """Park the event for sessions with damaged rows. Return their ids, and the other conversations."""
        parked, conversations = list[str](), list[tuple[_Engaged, Conversation]]()
        for each in engaged:
            session = each.target.session
            if isinstance(session, DamagedRow):
                await self._park(event, session.id, str(session), trigger=each.wakes)
                parked.append(session.id)
            else:
                conversations.append((each, await self._conversation(event, each.target, session)))
        return parked, conversations

    async def _conversation(self, event: Routable, target: Target, session: Session | None) -> Conversation:
        if session is None:
            session = await self._registry.ask(OpenSession(*target.session_key(event)))
        chat = Address(event.address.channel_type, event.address.platform_id, session.thread_id)
        return Conversation(session, target.agent_group, chat if session.messaging_group_id else None)

    async def _store_all(
        self,
        event: Routable,
        conversations: list[tuple[_Engaged, Conversation]],
        parked: Sequence[str] = (),
    ) -> Routed:
        for engaged, conversation in conversations:
            await self._store(event, conversation, trigger=engaged.wakes)
        await self._engaged_threads.store_ends()  # a `/stop` counts only where it is stored
        ids = (*parked, *(conversation.session.id for _, conversation in conversations))
        return Routed(ids, (event.message_id,) * len(ids))

    async def _store(self, event: Routable, conversation: Conversation, *, trigger: bool) -> None:
        try:
            await self._sessions.accept(conversation, event, trigger=trigger)
        except SessionDown as error:
            await self._park(event, conversation.session.id, str(error), trigger=trigger)
            self._sessions.replay(conversation)

    async def _park(self, event: Routable, session_id: str, reason: str, *, trigger: bool) -> None:
        _log.warning("routing.parked", session=session_id, reason=reason)
        parked = dump_parked(event, trigger=trigger)
        await self._registry.ask(ParkEvent(session_id, parked, reason))


def _sender(event: Said) -> tuple[str, str]:
    """Return the id and the name of the sender."""
    return event.message.sender_id, event.message.sender
