"""The router: the intake of all channels. It runs in the receivers' tasks and keeps the order of a chat."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
import trio
from attrs import Factory, define, evolve, frozen

from actors import ActorError, Ref
from nanoclaw.approvals.kinds.chat import CHAT_REJECTED
from nanoclaw.channels.finishing import finished, names_files
from nanoclaw.records import (
    Address,
    Attended,
    ChatChange,
    Clicked,
    Deleted,
    Event,
    HeldMessage,
    InboundEvent,
    NotAccepted,
    Remark,
    Routed,
    SdkMessage,
    Session,
    Webhook,
    received,
)
from nanoclaw.records.content import BadContent, dump_parked, load_parked
from nanoclaw.registry import (
    Changes,
    EnsureChat,
    EnsureUser,
    OpenSession,
    ParkEvent,
    Registry,
)
from nanoclaw.routing.chat_changes import follower
from nanoclaw.routing.clicks import (
    ANSWERED_BEFORE,
    CardClick,
    Choice,
    Clicks,
    DroppedClick,
    Shows,
    as_answer,
    check_answer,
    check_click,
    has_code,
)
from nanoclaw.routing.drops import Drop, Drops
from nanoclaw.routing.engaged import EngagedThreads
from nanoclaw.routing.holding import NotHeld, RemoveHeld
from nanoclaw.routing.pairing import Pairing, possible_code
from nanoclaw.routing.plan import Plan, Plans, Routable, Target, name_of, sender_of
from nanoclaw.routing.refused import Refused
from nanoclaw.routing.remarks import Remarks
from nanoclaw.routing.strangers import Strangers
from nanoclaw.routing.waiting_files import WaitingFiles
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.store import DamagedRow, Reader, StoreError
from nanoclaw.store.central import answering_messages, held_messages, messaging_groups
from nanoclaw.store.engine.mutex import Mutex, Places
from nanoclaw.system.clock import Clock
from nanoclaw.system.patterns import InThread

UNWIRED = "no agent is wired to this chat"
UNHEARD = "no agent listens to this message"
UNKNOWN = "the sender is not known here"
DAMAGED = "held_damaged"
DELETED = "held_deleted"
"""Reasons for dropping a message that no agent gets."""
HELD = "the message waits until somebody lets its sender in"
UNWIRED_HELD = "no agent is wired to this chat yet: the message waits until somebody decides"
MAX_CHANGES = 8
"""Limit of looks at one event while rights change."""
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
    waits: bool = False
    """True if the agent gets it only after the sender is let in."""


@frozen
class _Judged:
    """An event, the targets that take it, and what becomes of it if none gets it now."""

    event: Routable
    engaged: Sequence[_Engaged]
    dropped: str | None = None
    held: str | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """The agents that get it only after the sender is let in."""
        return tuple(each.target.agent_group.id for each in self.engaged if each.waits)


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
    _clock: Clock
    _drops: Drops
    _strangers: Strangers
    _pairing: Pairing
    _files: WaitingFiles
    _shows: Shows = Factory(Shows)
    _plans: Plans = Factory(lambda self: Plans(self._central, self._changes), takes_self=True)
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
        if names_files(event):  # whoever offers it removes them when this returns or is cancelled
            return await finished(partial(self._take, event))
        return await self._take(event)

    async def _take(self, event: Event) -> Routed:
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
        if isinstance(event, ChatChange):
            return await self._follow(event)
        if not isinstance(event, Webhook) and event.message.is_from_me:
            return Routed(dropped="the message is the assistant's own")
        return await self._route(event)

    async def _remark(self, remark: Remark) -> Routed:
        """Handle a deletion or a reaction in the order of its chat's messages."""
        with self._queue(remark.address) as queue:
            async with queue.lock:
                if isinstance(remark, Deleted):
                    await self._withdraw_held(remark)
                return await Remarks(self._central, self._registry, self._sessions, self._places).store(
                    remark
                )

    async def _follow(self, change: ChatChange) -> Routed:
        """Have names follow a change of a chat, in the order of its messages."""
        with self._queue(change.address) as queue:
            async with queue.lock:
                async with self._places:
                    follow = await self._central.run(follower, change)
                if follow is not None:
                    await self._registry.ask(follow)
        return Routed()

    async def _withdraw_held(self, deleted: Deleted) -> None:
        """Drop a held message, and its edits, that was deleted on its network. Nobody gets to read it."""
        async with self._places:
            held = await self._central.run(held_messages.of_target, deleted.address, deleted.target)
        if held:
            await self._registry.ask(RemoveHeld(held, DELETED))

    @property
    def _answers(self) -> Clicks:
        """Delivers clicks, and messages that answer."""
        return Clicks(self._registry, self._sessions, self._drops, self._files)

    async def _click(self, click: Clicked) -> Routed:
        """Handle a click in the order of its chat's messages. Only the first of two clicks counts."""
        with self._queue(click.address) as queue:
            async with queue.lock:
                async with self._places:
                    found = await self._central.run(check_click, click)
                clicks = self._answers
                if isinstance(found, DroppedClick):
                    return await clicks.drop(click, found)
                if isinstance(found, CardClick):
                    routed = await clicks.decide(found)
                    if routed.dropped is not None:  # without the id: each would be a reason of its own
                        clicks.count(click, routed.dropped.replace(f" {found.decision.approval_id}", ""))
                    return routed
                if isinstance(found, Choice):
                    return await clicks.choose(click, found)
                return await clicks.store(click, found)

    async def _route(self, event: Routable) -> Routed:
        with self._queue(event.address) as queue:
            # No checkpoint before the chat's queue is entered: this keeps the order of the offers.
            async with queue.lock:
                if (code := possible_code(event)) is not None and (paired := await self._paired(event, code)):
                    return paired
                judged = await self._judged(event)
                if isinstance(judged, Routed):
                    return judged
                event, engaged = judged.event, [each for each in judged.engaged if not each.waits]
                async with self._places:
                    parked, conversations = await self._conversations(event, engaged)
                if parked or len(conversations) > 1:
                    return await self._store_all(event, conversations, parked)
            # No checkpoint between releasing the lock and entering the session's mailbox. This keeps the
            # order, and lets one commit store this event together with the chat's next one.
            if conversations:
                return await self._store_all(event, conversations)
            await trio.lowlevel.checkpoint()  # with a cached plan there was no other checkpoint
            return Routed(dropped=judged.dropped, held=judged.held)

    async def _paired(self, event: Routable, code: str) -> Routed | None:
        """Compare a message that may be a code for pairing. Return None for an ordinary message."""
        async with self._places:
            if isinstance(event, Webhook) or not await self._pairing.waits(event.address.channel_type):
                return None
        if (shown := await self._pairing.shown(event, code)) is not None:
            return shown
        async with self._places:
            found = await self._known(event)
        return None if found.chat is None else await self._pairing.tried(event, code, found.chat.id)

    async def _judged(self, event: Routable) -> _Judged | Routed:
        """Return who takes the event and what becomes of it elsewhere, or its result if it was an answer."""
        for _ in range(MAX_CHANGES):
            found = await self._ready(event)
            event = _of_person(event, found)
            async with self._places:
                if answered := await self._answer(event, found):
                    return answered
            engaged = await self._engaged(event, found)
            async with self._places:
                judged = await self._verdict(_Judged(event, engaged), found)
            if judged is not None:
                return judged
        raise NotAccepted("the rights in this chat keep changing")

    async def _ready(self, event: Routable) -> Plan:
        """Return the plan, once earlier messages of the sender that need not wait any more are delivered."""
        async with self._places:
            found = await self._known(event)
        if found.chat is None or not found.releases(self._clock.now()):
            return found
        await self._release(found.chat.id, sender_of(event))
        async with self._places:
            return await self._plans.find(event)

    async def _known(self, event: Routable) -> Plan:
        """Return the plan, once sender and chat have their rows as the network reports them."""
        found = await self._plans.find(event)
        if found.user_known and found.chat_known(event):
            return found
        sender = sender_of(event)
        if not found.user_known and sender is not None:
            await self._registry.ask(EnsureUser(sender, name_of(event) or None))
        if not found.chat_known(event):
            direct = None if event.is_group else sender
            name = event.chat_name or None
            await self._registry.ask(EnsureChat(event.address, name, event.is_group, direct))
        if found.chat is None:
            _log.info("routing.new_chat", channel=event.address.channel_type, chat=event.address.platform_id)
        return await self._plans.find(event)

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

    async def _answer(self, event: Routable, found: Plan) -> Routed | None:
        """Store the message as an answer to a question. Return None if it answers none."""
        if isinstance(event, Webhook):
            return None
        answering = as_answer(event, found.waiting, self._shows)
        may_repeat = answering is not None or has_code(event.message.text)
        if may_repeat and await self._central.run(answering_messages.has, event.message_id):
            return Routed(dropped=ANSWERED_BEFORE)
        if answering is None:
            return None
        if isinstance(answering, CardClick):
            return await self._answers.decide(answering)
        valid = await self._central.run(check_answer, answering, event.address)
        if isinstance(valid, DroppedClick):
            return None
        said = evolve(valid, answer=evolve(valid.answer, said=event))
        routed = await self._answers.store(answering, said)
        return None if routed.dropped else routed

    async def _engaged(self, event: Routable, found: Plan) -> list[_Engaged]:
        """Return the targets that take the event. Call it without a place: a match may take seconds."""
        now, engaged = self._clock.now(), list[_Engaged]()
        for target in found.targets:
            if target.refused is None:
                how = await target.engagement(event, self._engaged_threads, self._in_thread)
                engaged += [_Engaged(target, how == "wake")] if how != "ignore" else []
            elif target.waits(now) and await target.would_hear(event, self._engaged_threads, self._in_thread):
                engaged.append(_Engaged(target, wakes=False, waits=True))
        return engaged

    async def _verdict(self, judged: _Judged, found: Plan) -> _Judged | None:
        """Hold the event where it waits, and count where it is dropped. Return None to look again."""
        event, waiting = judged.event, judged.waiting
        if found.damaged and not found.targets:
            raise NotAccepted(f"nobody can take the event now: {found.damaged[0]}")
        if found.targets and not waiting:
            return evolve(judged, dropped=self._dropped(event, found, judged.engaged))
        if not found.targets and not self._strangers.may_ask(event, found, self._clock.now()):
            return evolve(judged, dropped=self._unwired(event, found))
        held = await self._strangers.hold(event, found, waiting)
        if isinstance(held, NotHeld):
            self._count(event, held.reason, found)
            return evolve(judged, dropped=UNKNOWN if found.targets else UNWIRED)
        waits = HELD if found.targets else UNWIRED_HELD
        return evolve(judged, held=waits) if held == "held" else None

    def _unwired(self, event: Routable, found: Plan) -> str:
        reason = UNWIRED if found.rejected is None else CHAT_REJECTED
        self._count(event, reason, found)
        return reason

    def _dropped(self, event: Routable, found: Plan, engaged: Sequence[_Engaged]) -> str:
        """Count the event as dropped for the targets that refuse it, or if nobody takes it."""
        now, refused = self._clock.now(), False
        for target in found.targets:
            if target.refused is not None and not target.waits(now):
                self._count(event, target.refused.reason(now), found, target)
                refused = True
        if not refused and not engaged:
            self._count(event, UNHEARD, found)
        return UNKNOWN if refused else UNHEARD

    def _count(self, event: Routable, reason: str, found: Plan, target: Target | None = None) -> None:
        """Count a dropped event, so that `nanoclaw dropped list` shows it."""
        where, sender = event.address, sender_of(event)
        chat = found.chat.id if found.chat is not None else None
        agent = target.agent_group.id if target is not None else None
        if self._drops.count(Drop(where, sender, name_of(event), reason, chat, agent)):
            _log.info("routing.dropped", sender=sender, chat=where.platform_id, reason=reason)

    # -- held messages

    async def deliver_held(self, messaging_group_id: str, user_id: str | None = None) -> None:
        """Deliver the held messages of a sender in a chat, or of a whole chat, in their order.

        Those that still wait stay. Those that nobody may get any more are dropped, and counted.

        Raises:
            NotAccepted: they cannot be delivered now. Try again later.
        """
        chat = await self._central.run(messaging_groups.get, messaging_group_id)
        if chat is None:
            return
        with self._queue(Address(chat.channel_type, chat.platform_id)) as queue:
            async with queue.lock:
                try:
                    await self._release(chat.id, user_id)
                except (StoreError, ActorError, DamagedRow) as error:
                    raise NotAccepted(f"the held messages could not be stored: {error}") from error

    async def _release(self, messaging_group_id: str, user_id: str | None) -> None:
        for held in await self._central.run(held_messages.of_sender, messaging_group_id, user_id):
            try:
                event, _ = load_parked(held.event)
            except BadContent as error:
                _log.error("routing.held_damaged", message=held.message_id, reason=str(error))
                await self._registry.ask(RemoveHeld([held], DAMAGED))
            else:
                if isinstance(event, InboundEvent | SdkMessage):
                    await self._release_one(event, held)

    async def _release_one(self, event: Routable, held: HeldMessage) -> None:
        async with self._places:
            found = await self._plans.find(event)
        if found.damaged and not found.targets:
            raise NotAccepted(f"nobody can take the event now: {found.damaged[0]}")
        if not found.targets and not held.agents and found.rejected is None:
            return  # no agent is wired to the chat yet
        asked = [each for each in found.targets if not held.agents or each.agent_group.id in held.agents]
        found = evolve(found, targets=tuple(asked))
        event = _of_person(event, found)
        judged = _Judged(event, await self._engaged(event, found))
        if judged.waiting and set(judged.waiting) == set(held.agents):
            return
        async with self._places:
            now = [each for each in judged.engaged if not each.waits]
            parked, conversations = await self._conversations(event, now)
        await self._store_all(event, conversations, parked)
        await self._settle_held(judged, found, held)

    async def _settle_held(self, judged: _Judged, found: Plan, held: HeldMessage) -> None:
        """Remove a message that is delivered or dropped; keep it for the agents that still wait."""
        if judged.waiting:
            self._dropped(judged.event, found, judged.engaged)
            await self._strangers.hold(judged.event, found, judged.waiting)
            return
        if not found.targets:
            self._unwired(judged.event, found)
        elif not judged.engaged:
            self._dropped(judged.event, found, ())
        await self._registry.ask(RemoveHeld([held]))

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
        async with self._files.kept(event) as kept:
            parked = dump_parked(kept, trigger=trigger)
            await self._registry.ask(ParkEvent(session_id, parked, reason))


def _of_person(event: Routable, found: Plan) -> Routable:
    """Return the event with the name of the person who sent it."""
    match event:
        case InboundEvent(message=message) if message.person != found.person:
            return evolve(event, message=evolve(message, person=found.person))
        case SdkMessage(content=content) if content.get("person") != found.person:
            without = {key: value for key, value in content.items() if key != "person"}
            return evolve(event, content={**without, "person": found.person} if found.person else without)
        case _:
            return event
