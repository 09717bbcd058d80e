"""A channel in memory, for tests and for embedders: what its users say, what they get, and how it may fail.

    channel = FakeChannel()
    async with open_host(config, channels=[channel]) as host:
        await wire(host, channel.address("chat"))
        await channel.say("hello", event_id="1")
        reply = await channel.reply_to("1")

Nothing here polls, and nothing waits but for what its caller waits for.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Literal, cast

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.protocol import (
    Capabilities,
    ChannelUnavailable,
    DeliveryRejected,
    Outcome,
    Repeat,
    Sender,
)
from nanoclaw.channels.state import ChannelState
from nanoclaw.host import Host
from nanoclaw.records import (
    DONE,
    Address,
    Attachment,
    ChatMessage,
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    Reacted,
    Receipt,
    ResponseScope,
    Routed,
    SdkMessage,
    SessionMode,
    UnknownSenderPolicy,
    Webhook,
    Wiring,
)
from nanoclaw.registry import WireChat
from nanoclaw.testing.files import with_content
from nanoclaw.testing.world.determinism import give_way

OFFER_AGAIN_S = 0.05
"""Seconds after which an event that was not accepted is offered again. The delay then doubles …"""
SELDOM_S = 5.0
"""… up to this limit."""
DM = "dm-"
"""The beginning of the names of direct chats that the network opens for hosts."""

Fault = Literal["unavailable", "rejected", "crash before", "crash after", "hang", "no receipt"]
"""The failure of a delivery: refused for now; refused for good; the network breaks before or after it has the
message; it does not answer until `heal`; it takes the message and returns no receipt."""


class NetworkBroke(Exception):
    """The error of a broken network connection."""


@define(eq=False)
class _Trouble:
    fault: Fault
    times: float
    chat: str | None

    def meets(self, address: Address) -> bool:
        """Return whether this fault applies to a delivery to that chat, and count it."""
        hit = self.times > 0 and self.chat in {None, address.platform_id}
        self.times -= hit
        return hit


@define(eq=False)
class _Reception:
    """One run of the receiving half."""

    intake: Intake
    broken: trio.Event = Factory(trio.Event)
    _offers: dict[trio.CancelScope, None] = Factory(dict)

    @contextmanager
    def offering(self) -> Iterator[None]:
        """Run an offer that is cancelled with this reception."""
        with trio.CancelScope() as scope:
            self._offers[scope] = None
            try:
                yield
            finally:
                del self._offers[scope]

    def end(self) -> None:
        """Cut off the offers in flight."""
        for scope in self._offers:
            scope.cancel()


@define(eq=False)
class FakeChannel:
    """A chat network in memory. It may serve several hosts, one after the other.

    `repeat` tells the host how to handle an attempt of unknown outcome. With `idempotent` the network
    identifies messages by `message_out_id` and keeps one of each.
    """

    channel_type: str = "fake"
    repeat: Repeat = "again"
    buttons: bool = True
    """True if it shows cards; `click` presses a button."""
    nth: int = 1
    """The number of this network in its home. No two networks share an id."""
    sent: list[Outgoing] = field(factory=list, init=False)
    """All messages that the network has, in the order of their arrival."""
    attempts: list[Outgoing] = field(factory=list, init=False)
    """All deliveries that the host tried, failed ones included."""
    said: list[str] = field(factory=list, init=False)
    """The ids of the messages that `say` has written, in order."""
    typing_in: list[Address] = field(factory=list, init=False)
    drafts: list[tuple[Address, str]] = field(factory=list, init=False)
    """All drafts that the host showed, with their addresses. An empty text removed the last one."""
    settled: dict[str, Outcome] = field(factory=dict, init=False)
    """The outcome of users' messages, by event id."""
    connections: int = field(default=0, init=False)
    """The number of times that the sending half was opened, or failed to open."""
    unreachable: int = field(default=0, init=False)
    """The number of further connections that fail."""
    on_delivery: Callable[[Outgoing, Receipt], None] | None = field(default=None, init=False)
    """Called for each message that the network accepted."""
    hints_hang: bool = field(default=False, init=False)
    """True if the network never answers to hints."""
    hints_raise: BaseException | None = field(default=None, init=False)
    """The error of hints."""
    opens_dms: bool = field(default=False, init=False)
    """True if it finds the direct chats of users: `dm-` and their name."""
    shy: set[str] = field(factory=set, init=False)
    """The ids of users to whom nobody may write first."""
    searched: list[str] = field(factory=list, init=False)
    """The users whose direct chats the host asked for."""
    in_groups: bool = field(default=False, init=False)
    """True if the network raises its errors in exception groups, as a channel with a nursery does."""
    state: ChannelState | None = field(default=None, init=False)
    """Its state; None before a host has started."""
    _troubles: list[_Trouble] = field(factory=list, init=False)
    _healed: trio.Event = field(factory=trio.Event, init=False)
    _disconnected: trio.Event = field(factory=trio.Event, init=False)
    _reception: _Reception | None = field(default=None, init=False)
    """Set while a host receives."""
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _ids: Iterator[int] = field(factory=lambda: count(1), init=False)
    _refused_to: "dict[_Speaker, trio.Lock]" = field(factory=dict, init=False)
    """The users who wait to offer an event again, each in the order in which they spoke."""

    @property
    def capabilities(self) -> Capabilities:
        """Every capability, with the given `repeat` and `buttons`."""
        return Capabilities(
            self.repeat,
            buttons=self.buttons,
            drafts=True,
            card_edits=self.buttons,
            direct_chats=self.opens_dms,
        )

    # -- users

    def address(self, chat: str = "chat", thread: str | None = None) -> Address:
        """Return the address of a chat of this network."""
        return Address(self.channel_type, chat, thread)

    async def say(  # noqa: PLR0913 -- what a message may have, by name
        self,
        text: str,
        *,
        chat: str = "chat",
        user: str = "user",
        thread: str | None = None,
        event_id: str | None = None,
        mention: bool = False,
        group: bool = False,
        attachments: Sequence[Attachment] = (),
    ) -> Routed:
        """Write as a user; return when the host has confirmed the message.

        Until then the message is offered again, also across restarts of the receiver and of the host. `user`
        becomes the id `<channel_type>:<user>`. Messages that one task sends in sequence are routed in order.
        """
        id_ = event_id or self.new_id("event")
        self.said.append(id_)
        sender_id = f"{self.channel_type}:{user}"
        message = ChatMessage(id_, text, user, sender_id, tuple(attachments), is_mention=mention)
        return await self.offer(InboundEvent(self.address(chat, thread), id_, message, is_group=group))

    async def click(
        self,
        question_id: str,
        value: str,
        *,
        chat: str = "chat",
        user: str = "user",
        event_id: str | None = None,
    ) -> Routed:
        """Press a button as a user; return when the host has confirmed it, as `say` does."""
        id_ = event_id or self.new_id("click")
        user_id = f"{self.channel_type}:{user}"
        return await self.offer(Clicked(self.address(chat), id_, question_id, value, user_id))

    async def edit(  # noqa: PLR0913 -- what an edit may have, by name
        self,
        event_id: str,
        text: str,
        *,
        chat: str = "chat",
        user: str = "user",
        thread: str | None = None,
        version: str | None = None,
        mention: bool = False,
        group: bool = False,
    ) -> Routed:
        """Change the text of a user's message; return when the host has confirmed it, as `say` does."""
        message = ChatMessage(event_id, text, user, f"{self.channel_type}:{user}", is_mention=mention)
        version = version or self.new_id("version")
        address = self.address(chat, thread)
        return await self.offer(InboundEvent(address, event_id, message, version, is_group=group))

    async def delete(
        self, event_id: str, *, chat: str = "chat", user: str | None = "user", thread: str | None = None
    ) -> Routed:
        """Delete a message; return when the host has confirmed it. `user` None: nobody knows who did it."""
        by = None if user is None else f"{self.channel_type}:{user}"
        return await self.offer(Deleted(self.address(chat, thread), event_id, by))

    async def react(  # noqa: PLR0913 -- what a reaction may have, by name
        self,
        target: str,
        emoji: str,
        *,
        chat: str = "chat",
        user: str = "user",
        thread: str | None = None,
        event_id: str | None = None,
        removed: bool = False,
    ) -> Routed:
        """React as a user to the message with that id; return when the host has confirmed it."""
        id_, sender_id = event_id or self.new_id("reaction"), f"{self.channel_type}:{user}"
        address = self.address(chat, thread)
        return await self.offer(Reacted(address, id_, target, emoji, user, sender_id, removed))

    async def call(  # noqa: PLR0913 -- what a webhook may have, by name
        self,
        event: str,
        payload: object = None,
        *,
        source: str = "program",
        chat: str = "chat",
        thread: str | None = None,
        event_id: str | None = None,
    ) -> Routed:
        """Offer a webhook of a program; return when the host has confirmed it, as `say` does."""
        id_ = event_id or self.new_id("webhook")
        return await self.offer(Webhook(self.address(chat, thread), id_, source, event, payload))

    async def choose(self, question_id: str, *values: str, chat: str = "chat", user: str = "user") -> Routed:
        """Press the buttons of several options as a user, then "Done"; return what became of the answer.

        If a press of an option is dropped, return that.
        """
        for value in values:
            routed = await self.click(question_id, value, chat=chat, user=user)
            if routed.dropped is not None:
                return routed
        return await self.click(question_id, DONE, chat=chat, user=user)

    async def write(self, question_id: str, text: str, *, chat: str = "chat", user: str = "user") -> Routed:
        """Enter a text into an input of a card as a user; return when the host has confirmed it."""
        user_id = f"{self.channel_type}:{user}"
        return await self.offer(
            Clicked(self.address(chat), self.new_id("click"), question_id, "", user_id, text)
        )

    def new_id(self, kind: str) -> str:
        """An id for an event that had none before, such as `event-7`; of the second network `event-2.7`."""
        return self._id(kind, next(self._ids))

    def _id(self, kind: str, n: int) -> str:
        return f"{kind}-{n}" if self.nth == 1 else f"{kind}-{self.nth}.{n}"

    async def offer(self, event: Event) -> Routed:
        """Offer an event as `say` does.

        After a refusal, the user's later events in that chat wait until the refused one is confirmed.
        """
        speaker = _speaker(event)
        if speaker not in self._refused_to:
            with suppress(NotAccepted):
                return await self._offer_once(event)
            return await self._offer_in_turn(event, speaker, OFFER_AGAIN_S)
        return await self._offer_in_turn(event, speaker, 0.0)

    async def _offer_in_turn(self, event: Event, speaker: "_Speaker", pause_s: float) -> Routed:
        turns = self._refused_to.setdefault(speaker, trio.Lock())
        try:
            async with turns:
                while True:
                    await trio.sleep(pause_s)
                    with suppress(NotAccepted):
                        return await self._offer_once(event)
                    pause_s = min(max(OFFER_AGAIN_S, 2 * pause_s), SELDOM_S)
        finally:
            if not turns.locked():
                self._refused_to.pop(speaker, None)

    async def _offer_once(self, event: Event) -> Routed:
        while True:
            reception = await self._receiving()
            with reception.offering():
                return await reception.intake.offer(event)

    async def wait_for(self, n: int) -> Sequence[Outgoing]:
        """Wait until the network has `n` messages or more; return all of them."""
        while len(self.sent) < n:
            await self._changed.wait()
        return tuple(self.sent)

    async def reply_to(self, event_id: str) -> Outgoing:
        """Wait for the first message that answers an event."""
        while True:
            for outgoing in self.sent:
                if outgoing.in_reply_to == event_id:
                    return outgoing
            await self._changed.wait()

    async def wait_settled(self, event_id: str) -> Outcome:
        """Wait for the hint that the host is done with an event. A sender that breaks loses the hint."""
        while event_id not in self.settled:
            await self._changed.wait()
        return self.settled[event_id]

    async def wait_drafts(self, n: int) -> Sequence[tuple[Address, str]]:
        """Wait until `n` drafts or more were shown; return all of them."""
        while len(self.drafts) < n:
            await self._changed.wait()
        return tuple(self.drafts)

    async def wait_attempts(self, n: int) -> Sequence[Outgoing]:
        """Wait until `n` deliveries or more were tried; return all of them."""
        while len(self.attempts) < n:
            await self._changed.wait()
        return tuple(self.attempts)

    # -- faults

    def fail(self, fault: Fault, *, times: float = 1, chat: str | None = None) -> None:
        """Apply this fault to the next `times` deliveries (`math.inf`: until `heal`), to one or any chat."""
        self._troubles.append(_Trouble(fault, times, chat))

    def heal(self) -> None:
        """End all faults. Hanging messages are delivered."""
        self._troubles.clear()
        self._healed.set()
        self._healed = trio.Event()

    def disconnect(self) -> None:
        """Break the connection of the sending half."""
        self._disconnected.set()
        self._disconnected = trio.Event()

    def crash_receiver(self) -> None:
        """Break the receiving half, if a host receives. Offers in flight are cancelled and made again."""
        if self._reception is not None:
            self._reception.broken.set()

    # -- the channel, as the host sees it

    def use_state(self, state: ChannelState, /) -> None:
        """Keep the state."""
        self.state = state

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Connect the sending half."""
        self.connections += 1
        if self.unreachable:
            self.unreachable -= 1
            raise NetworkBroke("there is no way to the network")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_break_after, self._disconnected)
            yield _FakeSender(self)
            nursery.cancel_scope.cancel()

    async def receive(self, intake: Intake) -> None:
        """Accept users' messages until cancelled."""
        reception = self._reception = _Reception(intake)
        self.change()
        try:
            await _break_after(reception.broken)
        finally:
            self._reception = None
            reception.end()

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Accept a message, or fail as `fail` requested."""
        with self._grouping():
            return await self._deliver(outgoing)

    async def _deliver(self, outgoing: Outgoing) -> Receipt:
        fault = next((t.fault for t in self._troubles if t.meets(outgoing.address)), None)
        self.attempts.append(outgoing)
        self.change()
        await give_way()
        match fault:
            case "unavailable":
                raise ChannelUnavailable("the fake network is down")
            case "rejected":
                raise DeliveryRejected("the fake network does not like it")
            case "crash before":
                raise NetworkBroke("before it had the message")
            case "hang":
                await self._healed.wait()
        receipt = self._keep(outgoing)
        if fault == "crash after":
            raise NetworkBroke("after it had the message")
        return cast("Receipt", None) if fault == "no receipt" else receipt

    @contextmanager
    def _grouping(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self.in_groups:
                raise ExceptionGroup("errors of the fake network", [error]) from None
            raise

    async def hint(self) -> None:
        """Wait for ever if hints hang. Raise an error if they raise one."""
        if self.hints_hang:
            await trio.sleep_forever()
        await give_way()
        if self.hints_raise is not None:
            raise self.hints_raise

    async def look_up(self, outgoing: Outgoing) -> Receipt | None:
        """Return the receipt of a message that the network has, as a sender does."""
        await trio.lowlevel.checkpoint()
        return self.find(outgoing)

    def change(self) -> None:
        """Wake the tasks that wait for a change."""
        self._changed.set()
        self._changed = trio.Event()

    def find(self, outgoing: Outgoing) -> Receipt | None:
        """Return the receipt of a message that the network has."""
        known = [one.message_out_id for one in self.sent]
        if outgoing.message_out_id not in known:
            return None
        return Receipt(self._id(self.channel_type, known.index(outgoing.message_out_id) + 1))

    def _keep(self, outgoing: Outgoing) -> Receipt:
        there = self.find(outgoing) if self.repeat == "idempotent" else None
        if there is not None:
            return there
        self.sent.append(outgoing)
        receipt = Receipt(self._id(self.channel_type, len(self.sent)))
        if self.on_delivery is not None:
            self.on_delivery(outgoing, receipt)
        self.change()
        return receipt

    async def _receiving(self) -> _Reception:
        while self._reception is None:
            await self._changed.wait()
        return self._reception


_Speaker = tuple[Address, str]
"""A user in a chat or thread."""


def _speaker(event: Event) -> _Speaker:
    match event:
        case Clicked(user_id=user):
            return event.address, user
        case InboundEvent(message=message) | SdkMessage(message=message):
            return event.address, message.sender_id or message.sender
        case Reacted(sender_id=user) | Deleted(sender_id=user):
            return event.address, user or ""
        case _:
            return event.address, ""


async def _break_after(event: trio.Event) -> None:
    await event.wait()
    raise NetworkBroke("the connection is lost")


@frozen
class _FakeSender:
    """The sending half, while it is connected."""

    channel: FakeChannel

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Deliver a message to the network."""
        return await self.channel.deliver(with_content(outgoing))

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Return the receipt of a message that the network has, or None."""
        return await self.channel.look_up(outgoing)

    async def open_dm(self, user_id: str) -> Address:
        """Return the direct chat of a user, unless nobody may write to them."""
        await give_way()
        self.channel.searched.append(user_id)
        if user_id in self.channel.shy:
            raise DeliveryRejected("the user lets nobody write first")
        return self.channel.address(f"{DM}{user_id.partition(':')[2]}")

    async def typing(self, address: Address) -> None:
        """Record the hint."""
        await self.channel.hint()
        self.channel.typing_in.append(address)
        self.channel.change()

    async def settled(self, _address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Record the hint."""
        await self.channel.hint()
        self.channel.settled[platform_message_id] = outcome
        self.channel.change()

    async def draft(self, address: Address, text: str) -> None:
        """Record the hint."""
        await self.channel.hint()
        self.channel.drafts.append((address, text))
        self.channel.change()


async def wire(  # noqa: PLR0913 -- the settings of a wiring, by name
    host: Host,
    address: Address,
    *,
    agent: str = "main",
    session_mode: SessionMode = "shared",
    policy: UnknownSenderPolicy = "public",
    response_scope: ResponseScope = "all",
    trigger_rules: Mapping[str, object] | None = None,
    priority: int = 0,
) -> Wiring:
    """Let the agent group in the folder `agent` listen to a chat; create both if they are missing.

    Raises:
        ActorError: the host is stopping, or its registry crashed.
        StoreError: it could not be stored.
    """
    return await host.registry.ask(
        WireChat(
            address,
            agent,
            policy,
            session_mode,
            response_scope,
            trigger_rules or {},
            priority,
        )
    )
