"""The terminal's chat: what its two front ends have in common, which are `prompt` (a person) and `pipe`."""

import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol

import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.protocol import ChannelUnavailable, Outcome, Repeat, Sender
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
from nanoclaw.seams import new_id

CHAT = Address("cli", "terminal")
CHAT_NAME = "Terminal"
USER_ID = "cli:local"
USER_NAME = "You"


class FrontEnd(Protocol):
    """A place where lines come from and replies are shown."""

    async def read(self, terminal: "Terminal") -> None:
        """Say each line on the terminal; return at the end of input."""
        ...

    async def show(self, text: str) -> None:
        """Show a reply; raises OSError where nobody can see it any more."""
        ...

    def typing(self, *, on: bool) -> None:
        """Show that the agent is at work, or no longer."""
        ...


@define(eq=False)
class Line:
    """A message that was said and is not done with, or that came to nothing."""

    text: str
    answered: bool = False
    failed: str | None = None
    """Why there will be no answer."""


@define(eq=False)
class Terminal:
    """The channel `cli`: one chat, one user. Reading begins when `open` is called."""

    front: FrontEnd
    random: Random
    channel_type: str = CHAT.channel_type
    repeat: Repeat = "again"
    lines: dict[str, Line] = Factory(dict)
    """By the id of their events, in the order in which they were said."""
    finished: trio.Event = Factory(trio.Event)
    """Set at the end of input."""
    _opened: trio.Event = Factory(trio.Event)
    _changed: trio.Event = Factory(trio.Event)
    _intakes: list[Intake] = Factory(list)
    _working: bool = False

    def open(self) -> None:
        """The chat is wired: begin to read."""
        self._opened.set()

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """The sending half."""
        yield TerminalSender(self)

    async def receive(self, intake: Intake) -> None:
        """Read until the end of input."""
        await self._opened.wait()
        self._intakes = [intake]
        if not self.finished.is_set():
            await self.front.read(self)
            self.finished.set()

    async def say(self, text: str) -> Routed:
        """Offer one line as a message; returns when it is on disk.

        Raises:
            NotAccepted: it could not be stored.
        """
        event_id = new_id("line", self.random)
        line = self.lines[event_id] = Line(text)
        message = ChatMessage(event_id, text, USER_NAME, USER_ID)
        try:
            routed = await self._intakes[0].offer(InboundEvent(CHAT, event_id, message, chat_name=CHAT_NAME))
        except NotAccepted:
            del self.lines[event_id]
            raise
        line.failed = routed.dropped
        self.change()
        return routed

    def work(self) -> None:
        """The agent is at work."""
        self._working = True
        self.front.typing(on=True)

    def change(self) -> None:
        """Something became of a line. Nobody tells when the agent rests: it does when no line is open."""
        self._working = self._working and any(self._open())
        self.front.typing(on=self._working)
        self._changed.set()
        self._changed = trio.Event()

    async def settle(self) -> None:
        """Wait until every line is done with."""
        while any(self._open()):
            await self._changed.wait()

    def _open(self) -> list[Line]:
        return [line for line in self.lines.values() if line.failed is None]

    def unanswered(self) -> list[Line]:
        """Lines without an answer, or whose answer was that there is none."""
        return [line for line in self.lines.values() if line.failed is not None or not line.answered]


@frozen
class TerminalSender:
    """Shows replies."""

    terminal: Terminal

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Show one message.

        Raises:
            ChannelUnavailable: the output is closed.
        """
        try:
            await self.terminal.front.show(render(outgoing))
        except OSError as error:
            raise ChannelUnavailable(f"the terminal is gone: {error.strerror}") from error
        line = self.terminal.lines.get(outgoing.in_reply_to or "")
        if line is not None:
            line.answered = True
        self.terminal.change()
        return Receipt(outgoing.message_out_id)

    async def typing(self, _address: Address) -> None:
        """Show that the agent is at work."""
        self.terminal.work()

    async def settled(self, _address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Note that a line is done with."""
        lines = self.terminal.lines
        if outcome == "completed":
            lines.pop(platform_message_id, None)
        elif platform_message_id in lines:
            lines[platform_message_id].failed = "the agent gave up on it"
        self.terminal.change()


def render(outgoing: Outgoing) -> str:
    """A message as text for people."""
    match outgoing.content:
        case EditContent(message_id, text):
            return f"[edit of {message_id}] {text}"
        case ReactionContent(message_id, emoji):
            return f"[{emoji} on {message_id}]"
        case content:
            files = [f"[file {file.name}, {len(file.data)} bytes]" for file in outgoing.files]
            return "\n".join([*([content.text] if content.text else []), *files])


def harmless(text: str) -> str:
    """Text that a terminal shows and does not obey: no agent moves its cursor or sets its title."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    obeyed = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
    return "\N{REPLACEMENT CHARACTER}" if obeyed else character
