"""Users and chats of a world: a test speaks as users, and reads replies in chats."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import trio
from attrs import define, evolve, field, frozen

from nanoclaw.records import (
    Address,
    ChatMessage,
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Option,
    Reacted,
    Routed,
    Webhook,
)
from nanoclaw.testing.world.channel import FakeChannel
from nanoclaw.testing.world.errors import ExpectationFailed, WorldError
from nanoclaw.testing.world.transcript import (
    AGENTS_KINDS,
    AgentsKind,
    Entry,
    Kind,
    Transcript,
    Wanted,
    attached,
    meets,
    words,
)


class Surroundings(Protocol):
    """The part of a world that users and chats need."""

    def network(self, channel_type: str) -> FakeChannel:
        """Return one of the world's networks. Raises WorldError if there is none of that type."""
        ...

    @property
    def patience_s(self) -> float:
        """Default seconds that an expectation waits."""
        ...

    def inbox(self, user: "User") -> "Chat":
        """Return the direct chat in which a user is shown cards of approvals."""
        ...

    def own_chat(self, user: "User") -> "Chat":
        """Return the chat of one user with the agent. Raises WorldError if there is none."""
        ...

    def said(self, chat: "Chat", user: "User", text: str, files: Mapping[str, bytes]) -> Entry:
        """Return a new entry, with its own id, for what a user says now."""
        ...

    def clicked(self, chat: "Chat", user: "User", card: Entry, label: str) -> Entry:
        """Return a new entry, with its own id, for a button that a user presses now."""
        ...

    def did(self, chat: "Chat", who: str, kind: Kind, text: str, about: str | None = None) -> Entry:
        """Return a new entry, with its own id, for anything else that a user or a program does now."""
        ...

    def dropped(self, chat: "Chat", entry: Entry, reason: str) -> None:
        """Record that the host dropped a user's action."""
        ...

    def report(self) -> str:
        """Return a report of what has happened, for a failed expectation."""
        ...


@define(eq=False)
class Chat:
    """A chat of the world's network, or one thread of it.

    Its expectations read the transcript once, from the beginning. They never return to entries that they
    matched or skipped. A thread has its own expectations, apart from its chat's. Every request for the
    same thread returns the same object.
    """

    world: Surroundings = field(repr=False)
    name: str
    address: Address
    members: "tuple[User, ...]"
    is_group: bool
    log: Transcript = field(factory=Transcript, repr=False)
    _threads: dict[str, "Chat"] = field(factory=dict, repr=False)
    _read: int = field(default=0, init=False)

    def thread(self, thread_id: str) -> "Chat":
        """Return one thread of this chat."""
        address = Address(self.address.channel_type, self.address.platform_id, thread_id)
        made = Chat(self.world, self.name, address, self.members, self.is_group, self.log, self._threads)
        return self._threads.setdefault(thread_id, made)

    @property
    def member_ids(self) -> frozenset[str]:
        """The ids of the chat's members."""
        return frozenset(user.id for user in self.members)

    def rename(self, name: str) -> None:
        """Give the chat another name, which the network reports from its next event on."""
        self.name = name
        for thread in self._threads.values():
            thread.name = name

    def joins(self, *users: "User") -> None:
        """Let users join the group on the network. That gives them no right."""
        self._set_members({**{user.id: user for user in self.members}, **{user.id: user for user in users}})

    def leaves(self, *users: "User") -> None:
        """Let users leave the group on the network. That takes no right from them."""
        gone = {user.id for user in users}
        self._set_members({user.id: user for user in self.members if user.id not in gone})

    def _set_members(self, users: "Mapping[str, User]") -> None:
        for chat in (self, *self._threads.values()):
            chat.members = tuple(users.values())

    @property
    def transcript(self) -> Sequence[Entry]:
        """The entries of its users and agents, in order. A thread has only its own entries."""
        thread = self.address.thread_id
        if thread is None:
            return tuple(self.log.entries)
        return tuple(entry for entry in self.log.entries if entry.thread == thread)

    async def expect(
        self, wanted: Wanted = re.compile(""), *, kind: AgentsKind = "message", within: float | None = None
    ) -> Entry:
        """Wait for the agent's matching entry, for `within` seconds; return it.

        Raises:
            ExpectationFailed: no entry matched in time. The text says what happened instead.
            WorldError: there is no such kind.
        """
        if kind not in AGENTS_KINDS:
            kinds = ", ".join(AGENTS_KINDS)
            raise WorldError(f"expect(kind={kind!r}): kind must be one of {kinds}")
        limit = self.world.patience_s if within is None else within
        with trio.move_on_after(limit):
            while True:
                found = self._next(wanted, kind)
                if found is not None:
                    return found
                await self.log.changed.wait()
        raise self._failure(f"expected the {kind} {words(wanted)} within {limit:g} s, but it did not come")

    async def expect_nothing(self, *, within: float | None = None) -> None:
        """Wait for `within` seconds and require that the agent does nothing here.

        Raises:
            ExpectationFailed: there is an entry of the agent that no expectation has read.
        """
        limit = self.world.patience_s if within is None else within
        with trio.move_on_after(limit):
            while not (new := self._unread()):
                await self.log.changed.wait()
            raise self._failure(f"expected nothing for {limit:g} s, but there came: {new[0]}")

    async def card_with(self, label: str, within: float | None = None) -> tuple[Entry, Option]:
        """Wait for a card with that button, for `within` seconds; return the newest one and its button.

        Cards that a user has answered do not count.

        Raises:
            ExpectationFailed: there is none.
        """
        limit = self.world.patience_s if within is None else within
        with trio.move_on_after(limit):
            while True:
                for entry in reversed(self.transcript):
                    if (button := entry.button(label)) and self.log.waits(entry):
                        return entry, button
                await self.log.changed.wait()
        has_one = any(entry.button(label) for entry in self.transcript)
        raise self._failure(
            f"waited {limit:g} s for a card with a button {label!r}, and there is none"
            + (" that has no answer yet; to press an answered one, name it: `card=`" if has_one else "")
        )

    async def webhook(
        self, event: str, payload: object = None, *, source: str = "program", within: float | None = None
    ) -> Routed:
        """Have a program send a webhook for the agents of this chat. Return once the host has confirmed it.

        Raises:
            ExpectationFailed: it was not confirmed within `within` seconds.
            BadEvent: the payload is no JSON value, or is too large.
        """
        entry = self.world.did(self, source, "webhook", event)
        called = Webhook(self.address, entry.id or "", source, event, payload, self.name, self.is_group)
        return await self.offer(called, entry, f"{source} sent {event!r}", within)

    async def offer(self, event: Event, entry: Entry, what: str, within: float | None = None) -> Routed:
        """Offer an event, which the transcript shows as `entry`. `what` names it for a failed expectation.

        Raises:
            ExpectationFailed: it was not confirmed within `within` seconds.
        """
        limit = self.world.patience_s if within is None else within
        with trio.move_on_after(limit):
            routed = await self.world.network(self.address.channel_type).offer(event)
            if routed.dropped is not None:
                self.world.dropped(self, entry, routed.dropped)
            return routed
        raise ExpectationFailed(
            f"{what} in {self.name}, and the host did not confirm it within {limit:g} s\n"
            f"{self.world.report()}"
        )

    async def any_card(self, within: float | None = None) -> Entry:
        """Wait for a card that no user has answered, for `within` seconds; return the newest one.

        Raises:
            ExpectationFailed: there is none.
        """
        limit = self.world.patience_s if within is None else within
        with trio.move_on_after(limit):
            while True:
                for entry in reversed(self.transcript):
                    if self.log.waits(entry):
                        return entry
                await self.log.changed.wait()
        raise self._failure(f"waited {limit:g} s for a card, and there is none")

    def button_of(self, card: Entry, label: str) -> Option:
        """Return the button with that label on a card. Raises ExpectationFailed if it has none."""
        if (button := card.button(label)) is None:
            raise self._failure(f"there is no button {label!r} on {card}")
        return button

    def _unread(self) -> list[Entry]:
        return [entry for entry in self.transcript[self._read :] if entry.from_agent]

    def _next(self, wanted: Wanted, kind: AgentsKind) -> Entry | None:
        for n, entry in enumerate(self.transcript[self._read :], self._read):
            if entry.from_agent and entry.kind == kind and meets(entry, wanted):
                self._read = n + 1
                return entry
        return None

    def _failure(self, sentence: str) -> ExpectationFailed:
        lines = [f"  {entry}" for entry in self.transcript] or ["  (empty)"]
        said = "\n".join(lines[-20:])
        return ExpectationFailed(
            f"{self.name}: {sentence}\ntranscript of {self.name}:\n{said}\n{self.world.report()}"
        )


@frozen(eq=False)
class User:
    """A user of the world's network."""

    world: Surroundings = field(repr=False)
    name: str
    id: str
    """The id in NanoClaw, such as `fake:ann`."""

    @property
    def platform_id(self) -> str:
        """The id on the network, which does not change with the name."""
        return self.id.partition(":")[2]

    def called(self, name: str) -> "User":
        """Return the user under another name, which the network reports from now on."""
        return evolve(self, name=name)

    @property
    def cards(self) -> Sequence[Entry]:
        """The cards that the user was shown in their direct chat, in order. Edited cards are as they were."""
        return [entry for entry in self.world.inbox(self).transcript if entry.card is not None]

    async def decides(self, label: str, *, card: Entry | None = None, within: float | None = None) -> Routed:
        """Press a button of a card in the chat where the user gets cards. Wait for one, else as `clicks`."""
        return await self.clicks(label, in_=self.world.inbox(self), card=card, within=within)

    async def says(
        self,
        text: str,
        *,
        in_: Chat | None = None,
        mention: bool = False,
        files: Mapping[str, bytes] | None = None,
        within: float | None = None,
    ) -> Routed:
        """Write a message; return once the host has confirmed it.

        Without `in_` it goes to the user's own chat with the agent. While the host is down or refuses, the
        network offers it again.

        Raises:
            ExpectationFailed: it was not confirmed within `within` seconds.
            WorldError: the text is not a str, or a file is not bytes.
        """
        if not isinstance(text, str):
            raise WorldError(f"{self.name}.says: text must be a str, got {text!r}")
        for name, data in (files or {}).items():
            if not isinstance(data, bytes):
                raise WorldError(f"{self.name}.says: files[{name!r}] must be bytes, got {data!r:.80}")
        chat = in_ or self.world.own_chat(self)
        entry = self.world.said(chat, self, text, files or {})
        message = ChatMessage(
            entry.id or "", text, self.name, self.id, attached(files or {}), is_mention=mention
        )
        event = InboundEvent(chat.address, message.id, message, chat_name=chat.name, is_group=chat.is_group)
        return await self._offer(event, chat, entry, f"said {text!r}", within)

    async def clicks(
        self, label: str, *, in_: Chat | None = None, card: Entry | None = None, within: float | None = None
    ) -> Routed:
        """Press a button on the newest unanswered card that has it. Wait for such a card.

        Return once the press is confirmed. Without `in_` the card is in the user's own chat with the agent.
        Pass `card`, as `expect` returned it, to press a card that may be answered already. The host drops
        a press on an answered card, and its entry is `dropped`.

        Raises:
            ExpectationFailed: there is no such card, or the host did not confirm, within `within` seconds.
        """
        chat = in_ or self.world.own_chat(self)
        if card is None:
            card, button = await chat.card_with(label, within)
        else:
            button = chat.button_of(card, label)
        assert card.card is not None  # noqa: S101 -- cards with buttons have one
        entry = self.world.clicked(chat, self, card, label)
        address = Address(chat.address.channel_type, chat.address.platform_id, card.thread)
        event = Clicked(address, entry.id or "", card.card.question_id, button.value, self.id)
        routed = await self._offer(event, chat, entry, f"clicked {label!r}", within)
        chooses = card.card.multiple and not routed.message_ids  # one of several options
        if routed.dropped is None and not chooses:
            chat.log.answered.add(card.card.question_id)
        return routed

    async def chooses(self, *labels: str, in_: Chat | None = None, within: float | None = None) -> Routed:
        """Press the buttons of several options on the newest unanswered card that has them, then "Done".

        Raises:
            ExpectationFailed: as `clicks` does.
        """
        for label in labels:
            await self.clicks(label, in_=in_, within=within)
        return await self.clicks("Done", in_=in_, within=within)

    async def writes(
        self, text: str, *, in_: Chat | None = None, card: Entry | None = None, within: float | None = None
    ) -> Routed:
        """Enter a text into an input of the newest card. Wait for such a card; else as `clicks` does."""
        chat = in_ or self.world.own_chat(self)
        card = card or await chat.any_card(within)
        assert card.card is not None  # noqa: S101 -- that is what any_card returns
        entry = self.world.clicked(chat, self, card, text)
        address = Address(chat.address.channel_type, chat.address.platform_id, card.thread)
        event = Clicked(address, entry.id or "", card.card.question_id, "", self.id, text)
        routed = await self._offer(event, chat, entry, f"entered {text!r}", within)
        if routed.dropped is None:
            chat.log.answered.add(card.card.question_id)
        return routed

    async def edits(
        self,
        message: Entry,
        text: str,
        *,
        in_: Chat | None = None,
        mention: bool = False,
        within: float | None = None,
    ) -> Routed:
        """Change the text of a message that the user wrote, an entry of the transcript.

        Return once the host has confirmed it, as `says` does.
        """
        chat = in_ or self.world.own_chat(self)
        entry = self.world.did(chat, self.name, "edit", text, message.id)
        changed = ChatMessage(message.id or "", text, self.name, self.id, is_mention=mention)
        event = InboundEvent(
            chat.address, changed.id, changed, entry.id or "", chat_name=chat.name, is_group=chat.is_group
        )
        return await self._offer(event, chat, entry, f"edited {message.text!r}", within)

    async def deletes(
        self, message: Entry, *, in_: Chat | None = None, within: float | None = None
    ) -> Routed:
        """Delete a message that a user wrote, an entry of the transcript. Return as `says` does."""
        chat = in_ or self.world.own_chat(self)
        entry = self.world.did(chat, self.name, "deletion", message.text, message.id)
        event = Deleted(chat.address, message.id or "", self.id)
        return await self._offer(event, chat, entry, f"deleted {message.text!r}", within)

    async def reacts(
        self, message: Entry, emoji: str, *, in_: Chat | None = None, within: float | None = None
    ) -> Routed:
        """React to a message, an entry of the transcript. Return as `says` does.

        The host drops reactions to messages that are not the agent's. Their entries are `dropped`.
        """
        chat = in_ or self.world.own_chat(self)
        entry = self.world.did(chat, self.name, "reaction", emoji, message.id)
        event = Reacted(chat.address, entry.id or "", message.id or "", emoji, self.name, self.id)
        return await self._offer(event, chat, entry, f"reacted with {emoji!r}", within)

    async def _offer(self, event: Event, chat: Chat, entry: Entry, what: str, within: float | None) -> Routed:
        return await chat.offer(event, entry, f"{self.name} {what}", within)
