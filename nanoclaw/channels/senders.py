"""The senders: one actor per channel owns its sending half, and starts one per chat (`chat_sender.py`).

They ask no other actor.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import cast

import structlog
import trio
from attrs import Factory, define, evolve, frozen

from actors import Backoff, Bury, Context, Crashed, Node, Policy, Ref, Refusal, Stopped, Supervisor
from nanoclaw.channels.cards import as_text, with_marks
from nanoclaw.channels.chat_sender import (
    ChannelWarnings,
    ChatSender,
    Deliver,
    OutcomeUnknown,
    Settled,
    ShowDraft,
    Typing,
    chat_recipe,
)
from nanoclaw.channels.conditions import WELL_S, Conditions, noted
from nanoclaw.channels.protocol import (
    Capabilities,
    Channel,
    ChannelUnavailable,
    DeliveryRejected,
    DirectSender,
    Repeat,
    Sender,
    capabilities_of,
)
from nanoclaw.channels.receipts import unavailable
from nanoclaw.records import (
    Address,
    CardEditContent,
    EditContent,
    Outgoing,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    Receipt,
)
from nanoclaw.system.foreign import ForeignError, foreign_code, result_of, text_of
from nanoclaw.system.supervision import Supervision

CONNECTED_WITHIN_S = 1.0
"""Seconds after which a connecting channel counts as down. Meanwhile a session's other deliveries wait."""
OPEN_DM_S = 20.0
"""Time limit in seconds of the search for a direct chat."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 60.0
"""Bounds of the pause before a channel is connected again. It doubles, and is reset after `WELL_S`."""
PATIENCE_S = 600.0
"""The longest pause for which a network may ask."""
RETRY_BURIED_S = 120.0
"""The pause after the sender of a chat has crashed repeatedly."""

_POLICY = Policy(
    intensity=sys.maxsize,
    period=WELL_S,
    backoff=Backoff(first=FIRST_PAUSE_S, ceiling=LONGEST_PAUSE_S, jitter=0.25, patience=PATIENCE_S),
)
_CHATS = Policy(give_up=Bury(RETRY_BURIED_S))
_log = structlog.get_logger()


class ChannelDown(ChannelUnavailable):
    """The channel is missing or disconnected, and was not asked."""


# -- one channel ---------------------------------------------------------------


@define(eq=False)
class ChannelSender:
    """Owns the sending half of one channel, and the tasks of its chats."""

    sender: Sender
    capabilities: Capabilities
    warnings: ChannelWarnings
    chats: Supervisor


@frozen
class OpenChat:
    """Ask for the task of one chat. It is started if necessary."""

    platform_id: str

    async def handle(self, actor: ChannelSender) -> Ref[ChatSender]:
        """Find or start the task."""
        return actor.chats.get(self.platform_id) or actor.chats.start(
            self.platform_id, chat_recipe(ChatSender(actor.sender, actor.capabilities, actor.warnings))
        )


@frozen
class OpenDm:
    """Ask the channel for the direct chat of a user."""

    user_id: str

    async def handle(self, actor: ChannelSender) -> "DmFinder":
        """Return the way to ask. The network is asked outside of this actor, which must not wait for it."""
        await trio.lowlevel.checkpoint()
        return DmFinder(actor.sender, self.user_id)


@frozen
class DmFinder:
    """Asks a connected channel for the direct chat of a user."""

    sender: Sender
    user_id: str

    async def find(self) -> Address:
        """Return the address of the direct chat. See `Senders.open_dm` for errors."""
        try:
            with foreign_code(DeliveryRejected, ChannelUnavailable):
                found = await result_of(cast("DirectSender", self.sender).open_dm(self.user_id))
        except DeliveryRejected as error:
            raise DeliveryRejected(text_of(error)) from error
        except ChannelUnavailable as error:
            raise unavailable(error) from error
        except ForeignError as error:
            raise ChannelUnavailable(f"the channel failed: {error}") from error
        if not isinstance(found, Address):
            raise ChannelUnavailable("open_dm of the channel returned no Address")
        return found


def _channel_recipe(
    channel: Channel, supervision: Supervision, under: Supervisor, conditions: Conditions
) -> Callable[[Context[ChannelSender]], AbstractAsyncContextManager[ChannelSender]]:
    warnings = ChannelWarnings(channel.channel_type)

    @asynccontextmanager
    async def recipe(_context: Context[ChannelSender]) -> AsyncIterator[ChannelSender]:
        try:
            with noted(conditions, channel.channel_type, "sender"), foreign_code(Refusal):
                async with (
                    channel.sender() as sender,
                    supervision.open(f"{channel.channel_type} chats", under=under, policy=_CHATS) as chats,
                ):
                    yield ChannelSender(sender, _checked_capabilities(channel, sender), warnings, chats)
        except Refusal as error:
            raise unavailable(error) from error

    return recipe


def _checked_capabilities(channel: Channel, sender: Sender) -> Capabilities:
    """Return a channel's capabilities. Raise TypeError if its sender lacks a method that they need."""
    found = capabilities_of(channel)
    if not callable(getattr(sender, "deliver", None)):
        raise TypeError(f"channel {channel.channel_type}: its sender has no deliver()")
    if found.repeat == "look up" and not hasattr(sender, "find"):
        raise TypeError(
            f"channel {channel.channel_type}: capabilities.repeat is 'look up', but its sender has no find()"
        )
    if found.direct_chats and not callable(getattr(sender, "open_dm", None)):
        raise TypeError(
            f"channel {channel.channel_type}: capabilities.direct_chats is True, but its sender has no "
            "open_dm()"
        )
    return found


# -- all of them ---------------------------------------------------------------


@define(eq=False)
class Senders:
    """Finds the sender for an address. Used by sessions' child tasks, never by their mailbox loops."""

    _supervision: Supervision
    _supervisor: Supervisor
    conditions: Conditions
    _channels: dict[str, Ref[ChannelSender]] = Factory(dict)
    _capabilities: dict[str, Capabilities] = Factory(dict)
    with_buttons: set[str] = Factory(set)
    """The types of channels that show cards with buttons."""
    with_card_edits: set[str] = Factory(set)
    """The types of channels that show cards with buttons, and changed cards in their place."""
    _chats: dict[tuple[str, str], Ref[ChatSender]] = Factory(dict)
    """The senders of chats that were used before, by channel and chat."""
    _delivering: Counter[tuple[str, str]] = Factory(Counter)
    """The number of deliveries under way, by channel and chat."""

    def add(self, channel: Channel) -> None:
        """Start the sending half of a channel. Raises ValueError if there is one of that name."""
        name = channel.channel_type
        recipe = _channel_recipe(channel, self._supervision, self._supervisor, self.conditions)
        self._channels[name] = self._supervisor.start(name, recipe)
        self._capabilities[name] = can = capabilities_of(channel)
        self.with_buttons.update([name] if can.buttons else [])
        self.with_card_edits.update([name] if can.buttons and can.card_edits else [])

    async def remove(self, channel_type: str) -> None:
        """Stop the sending half of a channel, after the delivery in flight. Later messages for it wait."""
        self._channels.pop(channel_type, None)
        await self._supervisor.stop(channel_type)
        self._capabilities.pop(channel_type, None)
        self.with_buttons.discard(channel_type)
        self.with_card_edits.discard(channel_type)
        self.conditions.forget(channel_type)

    def nodes(self) -> Mapping[str, Node]:
        """Return the sending halves in the live tree, by name."""
        return {node.name: node for node in self._supervisor.tree().children if node.capacity}

    def repeat(self, channel_type: str) -> Repeat:
        """Return a channel's policy for unknown outcomes. It is `again` if the channel is missing."""
        return self._of(channel_type).repeat

    def edits(self, channel_type: str) -> bool:
        """Return True if a channel can edit messages."""
        return self._of(channel_type).edits

    def edits_cards(self, channel_type: str) -> bool:
        """Return True if a channel can show the end of a question in place of its card."""
        can = self._of(channel_type)
        return can.buttons and can.edits

    def shows_drafts(self, channel_type: str) -> bool:
        """Return True if a channel shows drafts."""
        return self._of(channel_type).drafts

    def _of(self, channel_type: str) -> Capabilities:
        return self._capabilities.get(channel_type, Capabilities())

    async def deliver(self, outgoing: Outgoing, *, doubtful: bool = False) -> Receipt:
        """Send one message and return its receipt. `doubtful` says that it may have been sent before.

        A channel without buttons gets cards as text, and one without threads the address of the chat.

        Raises:
            ChannelUnavailable: nothing was sent. `ChannelDown` if the channel is missing or down.
            DeliveryRejected: nothing was sent, and never will be.
            OutcomeUnknown: it may have been sent.
        """
        channel_type = outgoing.address.channel_type
        outgoing = _adapted(outgoing, channel_type, self._of(channel_type))
        chat, message = await self._chat(outgoing.address), Deliver(outgoing, doubtful)
        try:
            with self._counted(outgoing.address):
                receipt = await chat.ask(message)
        except ChannelUnavailable as error:
            self.conditions.refused(channel_type, error)
            raise
        except Crashed as error:
            raise OutcomeUnknown(f"the channel failed while sending: {error.__cause__!r}") from error
        except Stopped as error:
            stopping = f"the channel {outgoing.address.channel_type} is stopping"
            raise (OutcomeUnknown if message.begun.is_set() else ChannelDown)(stopping) from error
        self.conditions.well(channel_type, "chats")
        return receipt

    @property
    def channel_types(self) -> Sequence[str]:
        """The types of the host's channels."""
        return tuple(self._channels)

    def user_prefix(self, channel_type: str) -> str | None:
        """Return the prefix of a channel's users, or None if it is the channel's name."""
        return self._of(channel_type).user_prefix

    def finds_dms(self, channel_type: str) -> bool:
        """Return True if a channel can find or open the direct chats of users."""
        return self._of(channel_type).direct_chats

    async def open_dm(self, channel_type: str, user_id: str) -> Address:
        """Return the direct chat of a user on a channel.

        Raises:
            DeliveryRejected: the network lets nobody write to this user.
            ChannelUnavailable: the network cannot say now.
        """
        with trio.move_on_after(OPEN_DM_S):
            try:
                finder = await self._channel(channel_type).ask(OpenDm(user_id))
            except (Crashed, Stopped) as error:
                raise ChannelDown(f"the channel {channel_type} is down: {error}") from error
            return await finder.find()
        raise ChannelUnavailable(f"the channel {channel_type} did not answer within {OPEN_DM_S:g} s")

    async def hint(self, address: Address, hint: Typing | Settled) -> None:
        """Pass a hint to a chat. It is lost if the channel is missing, busy or down."""
        try:
            chat = await self._chat(address)
        except ChannelUnavailable:
            return
        chat.signal(evolve(hint, address=_place(address, self._of(address.channel_type))))

    async def draft(self, address: Address, text: str, wanted: Callable[[], bool]) -> None:
        """Have a chat show a draft, and wait until it does. An empty text removes the last one.

        It is lost if the channel is missing or down, or a message is being delivered to the chat. `wanted`
        is asked again right before the channel is.
        """
        if not self.shows_drafts(address.channel_type) or self._delivering[_key(address)]:
            return
        with suppress(ChannelUnavailable, Crashed, Stopped):
            chat = await self._chat(address)
            place = _place(address, self._of(address.channel_type))
            await chat.ask(ShowDraft(place, text, wanted))

    @contextmanager
    def _counted(self, address: Address) -> Iterator[None]:
        """Count a delivery to a chat while the context is open."""
        key = _key(address)
        self._delivering[key] += 1
        try:
            yield
        finally:
            self._delivering[key] -= 1
            if not self._delivering[key]:
                del self._delivering[key]

    async def _chat(self, address: Address) -> Ref[ChatSender]:
        key = _key(address)
        known = self._chats.get(key)
        if known is None or known.shut:
            known = self._chats[key] = await self._open(address)
        return known

    async def _open(self, address: Address) -> Ref[ChatSender]:
        channel = self._channel(address.channel_type)
        try:
            with trio.move_on_after(CONNECTED_WITHIN_S):
                return await channel.ask(OpenChat(address.platform_id))
        except (Crashed, Stopped) as error:
            raise ChannelDown(f"the channel {address.channel_type} is down: {error}") from error
        raise ChannelDown(f"the channel {address.channel_type} is not connected yet")

    def _channel(self, channel_type: str) -> Ref[ChannelSender]:
        channel = self._channels.get(channel_type)
        if channel is None:
            raise ChannelDown(f"this host has no channel {channel_type!r}")
        return channel


def _key(address: Address) -> tuple[str, str]:
    return (address.channel_type, address.platform_id)


def _place(address: Address, can: Capabilities) -> Address:
    """Return the address as the channel has it: without threads, the chat."""
    return address if can.threads or address.thread_id is None else evolve(address, thread_id=None)


def _adapted(outgoing: Outgoing, channel_type: str, can: Capabilities) -> Outgoing:
    """Return a message in a form that its channel can deliver.

    Raises:
        DeliveryRejected: the channel does not support this edit, reaction or file.
    """
    content = outgoing.content
    outgoing = evolve(outgoing, address=_place(outgoing.address, can))
    if isinstance(content, EditContent) and not can.edits:
        raise DeliveryRejected(f"the channel {channel_type} cannot edit a message")
    if isinstance(content, ReactionContent) and not can.reactions:
        raise DeliveryRejected(f"the channel {channel_type} cannot show a reaction")
    if outgoing.files and not can.files:
        raise DeliveryRejected(f"the channel {channel_type} cannot send files")
    if isinstance(content, CardEditContent) and not (can.buttons and can.card_edits):
        raise DeliveryRejected(f"the channel {channel_type} cannot change a card")
    if can.buttons and not _needs_text(content, can):
        return evolve(outgoing, content=_with_marks(content))
    return evolve(outgoing, content=as_text(content), asks=isinstance(content, QuestionContent))


def _needs_text(content: OutgoingContent, can: Capabilities) -> bool:
    """Return True for a question that buttons cannot show: without options, or with several choices."""
    if not isinstance(content, QuestionContent):
        return False
    return not content.options or (content.multiple and not can.card_edits)


def _with_marks(content: OutgoingContent) -> OutgoingContent:
    """Return a new card with the marks of its choices. Any other content is unchanged."""
    return with_marks(content, ()) if isinstance(content, QuestionContent) and content.multiple else content


@asynccontextmanager
async def open_senders(
    channels: Mapping[str, Channel],
    supervision: Supervision,
    *,
    under: Supervisor,
    conditions: Conditions | None = None,
) -> AsyncIterator[Senders]:
    """Open the senders of all channels. The exit finishes deliveries in flight first."""
    async with supervision.open("senders", under=under, policy=_POLICY) as supervisor:
        senders = Senders(supervision, supervisor, conditions or Conditions())
        for channel in channels.values():
            senders.add(channel)
        yield senders
