"""The terminal's chat, the channel `cli`: one chat, one user, and any number of attendants.

Attendants are the host's own front end, if it has one (`prompt` or `pipe`), and clients of the control
socket. A reply goes to the attendant whose line it answers, any other message to all.
"""

import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Protocol

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.cards import as_text
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable, Outcome, Sender
from nanoclaw.channels.terminal.desk import Desk, FrontEnd, Line
from nanoclaw.channels.terminal.guest import Guest
from nanoclaw.records import (
    Address,
    ChatMessage,
    EditContent,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    ReactionContent,
    Receipt,
    Routed,
)

CHAT = Address("cli", "terminal")
CHAT_NAME = "Terminal"
USER_ID = "cli:local"
USER_NAME = "You"
MAX_UNSEEN, MAX_UNSEEN_SIZE = 1000, 32 * 1024 * 1024
"""Limits of messages, and of characters in all, that are kept while there is no attendant."""


class Attendant(Protocol):
    """A front end or client that takes part in the terminal's chat."""

    async def show(self, text: str, answers: str | None) -> None:
        """Show a message. `answers` is the id of the line of this attendant that it answers, or None.

        Raises:
            OSError: this attendant is gone or too slow.
        """
        ...

    def work(self) -> None:
        """Show that the agent is at work."""
        ...

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line of this attendant. `failed` says why there will be no answer."""
        ...


@define(eq=False)
class Terminal:
    """The channel. It takes lines once `open` is called. Without `front`, only clients attend."""

    front: FrontEnd | None
    random: Random
    channel_type: str = CHAT.channel_type
    capabilities: Capabilities = Factory(Capabilities)
    finished: trio.Event = Factory(trio.Event)
    """Set at the end of the front end's input."""
    unseen: deque[str] = Factory(deque)
    """Messages that came while there was no attendant, for the next one that listens."""
    desk: Desk | None = field(init=False, default=Factory(lambda self: self._own_desk(), takes_self=True))
    """The desk of the front end."""
    _attendants: list[Attendant] = field(
        init=False, default=Factory(lambda self: [self.desk] if self.desk else [], takes_self=True)
    )
    _askers: dict[str, Attendant] = Factory(dict)
    """The attendants whose lines are not settled, by line id."""
    _opened: trio.Event = Factory(trio.Event)
    _ready: trio.Event = Factory(trio.Event)
    _intakes: list[Intake] = Factory(list)

    def _own_desk(self) -> Desk | None:
        return None if self.front is None else Desk(self.front, self.random, self.say)

    def open(self) -> None:
        """Begin to take lines. Call it when the chat is wired."""
        self._opened.set()

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Return the sending half."""
        yield TerminalSender(self)

    async def receive(self, intake: Intake) -> None:
        """Read lines until the end of input."""
        await self._opened.wait()
        self._intakes = [intake]
        self._ready.set()
        if self.front is not None and self.desk is not None and not self.finished.is_set():
            await self.front.read(self.desk)
            self.finished.set()

    @contextmanager
    def visit(self) -> Iterator[Guest]:
        """Attend the chat while the context is open. Messages that did not arrive are kept for the next."""
        guest = Guest(self.random, self.say, self._take_unseen)
        self._attendants.append(guest)
        try:
            yield guest
        finally:
            self._attendants.remove(guest)
            self._askers = {id_: asker for id_, asker in self._askers.items() if asker is not guest}
            self.unseen.extend(guest.not_arrived())

    # -- lines

    async def say(self, asker: Attendant, id_: str, text: str) -> Routed:
        """Offer one line as a message, and return when it is on disk. `asker` is told of its outcome.

        Raises:
            NotAccepted: the line could not be stored.
        """
        await self._ready.wait()
        self._askers[id_] = asker
        message = ChatMessage(id_, text, USER_NAME, USER_ID)
        try:
            routed = await self._intakes[0].offer(InboundEvent(CHAT, id_, message, chat_name=CHAT_NAME))
        except NotAccepted:
            self._askers.pop(id_, None)
            raise
        if routed.dropped:
            self._askers.pop(id_, None)
        return routed

    async def settle(self) -> None:
        """Wait until every line of the front end is settled."""
        if self.desk is not None:
            await self.desk.settle()

    def unanswered(self) -> list[Line]:
        """Return the lines of the front end without an answer, and those that failed."""
        return [] if self.desk is None else self.desk.unanswered()

    # -- messages

    async def show(self, text: str, answers: str | None) -> None:
        """Show a message to the attendant whose line it answers, else to all. Keep it if there is none.

        Raises:
            ChannelUnavailable: the terminal is gone, or there is no attendant and no room to keep it.
        """
        asker = self._askers.get(answers or "")
        others = [attendant for attendant in self._attendants if attendant is not asker]
        if asker is not None and await _shown([asker], text, answers):
            return
        if not await _shown(others, text, None):
            self._keep(text)

    def _keep(self, text: str) -> None:
        if self.front is not None:
            raise ChannelUnavailable("the terminal is gone")
        if len(self.unseen) >= MAX_UNSEEN or len(text) + sum(map(len, self.unseen)) > MAX_UNSEEN_SIZE:
            waiting = f"{len(self.unseen)} messages already wait for a client of the terminal's chat"
            raise ChannelUnavailable(f"{waiting}; `nanoclaw chat` shows them")
        self.unseen.append(text)

    def _take_unseen(self) -> list[str]:
        unseen, self.unseen = list(self.unseen), deque()
        return unseen

    def work(self) -> None:
        """Show that the agent is at work to those with open lines, or to all if there are none."""
        asked = dict.fromkeys(self._askers.values())
        for attendant in asked or self._attendants:
            attendant.work()

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line."""
        asker = self._askers.pop(id_, None)
        if asker is not None:
            asker.settled(id_, failed)


async def _shown(attendants: Iterable[Attendant], text: str, answers: str | None) -> bool:
    """Show a message to each attendant. Return True if one has taken it."""
    seen = False
    for attendant in list(attendants):
        try:
            await attendant.show(text, answers)
        except OSError:
            continue
        seen = True
    return seen


@frozen
class TerminalSender:
    """The sending half of the terminal's channel."""

    terminal: Terminal

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Show one message.

        Raises:
            ChannelUnavailable: there is no attendant, and it cannot be kept.
        """
        await self.terminal.show(render(outgoing), outgoing.in_reply_to)
        return Receipt(outgoing.message_out_id)

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Return None, because a terminal has no lookup."""
        del outgoing
        return None

    async def typing(self, _address: Address) -> None:
        """Show that the agent is at work."""
        self.terminal.work()

    async def settled(self, _address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Settle a line."""
        failed = None if outcome == "completed" else "the agent gave up"
        self.terminal.settled(platform_message_id, failed)


def render(outgoing: Outgoing) -> str:
    """Return a message as text for people."""
    match as_text(outgoing.content):
        case EditContent(message_id, text):
            return f"[edit of {message_id}] {text}"
        case ReactionContent(message_id, emoji):
            return f"[{emoji} on {message_id}]"
        case content:
            files = [f"[file {file.name}, {len(file.data)} bytes]" for file in outgoing.files]
            return "\n".join([*([content.text] if content.text else []), *files])


def harmless(text: str) -> str:
    """Return text without control characters, so that no agent controls the terminal."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    obeyed = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
    return "\N{REPLACEMENT CHARACTER}" if obeyed else character
