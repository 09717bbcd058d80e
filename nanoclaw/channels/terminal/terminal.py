"""The terminal's chat, the channel `cli`: one chat, one user, and any number of attendants.

Attendants are the host's own front end, if it has one (`prompt` or `pipe`), and clients of the control
socket. A reply goes to the attendant whose line it answers, any other message to all. A message that nobody
was shown is not delivered: it waits in the ledger until somebody attends.
"""

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.cards import as_text
from nanoclaw.channels.protocol import Capabilities, Outcome, Sender, Unattended
from nanoclaw.channels.terminal.desk import Desk, FrontEnd, Line
from nanoclaw.channels.terminal.guest import Guest
from nanoclaw.channels.terminal.marks import Excerpts, time_mark
from nanoclaw.channels.terminal.showing import Attendant, Display, Showing
from nanoclaw.records import (
    Address,
    Answering,
    Attended,
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
from nanoclaw.system.clock import Clock, SystemClock

CHAT = Address("cli", "terminal")
CHAT_NAME = "Terminal"
USER_ID = "cli:local"
USER_NAME = "Owner"
ASKER_FIRST_S = 2.0
"""Seconds after which a reply is shown to all, if the attendant that asked has not shown it."""
SHOWN_WITHIN_S = 10.0
"""Seconds after which a message that nobody has shown is held. The attendants continue to show it."""
REPLY_WITHIN_S = 2.0
"""Seconds that a finished line waits for its reply. Foreign runners commit the ack before the reply."""
NOBODY = "nobody is at the terminal; `nanoclaw chat` shows it"
NOT_YET = "those at the terminal have not shown it yet"
GAVE_UP = "the agent gave up"
NO_ANSWER = "its answer was refused or could not be delivered; `nanoclaw messages list` says why"

Who = Callable[[], Awaitable[Sequence[Answering]]]


@define(eq=False)
class Asked:
    """A line that is not settled."""

    by: Attendant
    """The attendant that sent it."""
    answered: trio.Event = Factory(trio.Event)
    """Set once an answer was shown."""


@define(eq=False)
class Terminal:
    """The channel. It takes lines once `open` is called. Without `front`, only clients attend."""

    front: FrontEnd | None
    random: Random
    channel_type: str = CHAT.channel_type
    capabilities: Capabilities = Factory(lambda: Capabilities(drafts=True))
    finished: trio.Event = Factory(trio.Event)
    """Set at the end of the front end's input."""
    clock: Clock = Factory(SystemClock)
    zone: str = "UTC"
    """The user's time zone, for the times of messages."""
    assistant: str | None = None
    """The name before each message. Those of other agents are marked with theirs; None: all alike."""
    desk: Desk | None = field(init=False, default=Factory(lambda self: self._own_desk(), takes_self=True))
    """The desk of the front end."""
    _attendants: list[Attendant] = field(
        init=False, default=Factory(lambda self: [self.desk] if self.desk else [], takes_self=True)
    )
    _lines: dict[str, Asked] = Factory(dict)
    """The lines that are not settled, by id."""
    _excerpts: Excerpts = Factory(Excerpts)
    _who: Sequence[Who] = ()
    _came: trio.Event = Factory(trio.Event)
    _opened: trio.Event = Factory(trio.Event)
    _ready: trio.Event = Factory(trio.Event)
    _intakes: list[Intake] = Factory(list)

    def _own_desk(self) -> Desk | None:
        return None if self.front is None else Desk(self.front, self.random, self.say)

    def open(self, who: Who | None = None) -> None:
        """Begin to take lines. Call it when the chat is wired. `who` returns the agents that answer."""
        self._who = [who] if who is not None else []
        self._opened.set()

    async def answering(self) -> Sequence[Answering]:
        """Return the agents that answer in the chat."""
        return [each for who in self._who for each in await who()]

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Return the sending half."""
        async with trio.open_nursery() as nursery:
            yield TerminalSender(self, nursery)
            nursery.cancel_scope.cancel()

    async def receive(self, intake: Intake) -> None:
        """Read lines until the end of input, and say when somebody attends."""
        await self._opened.wait()
        self._intakes = [intake]
        self._ready.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._offer_attended, intake)
            if self.front is not None and self.desk is not None and not self.finished.is_set():
                await self.front.read(self.desk)
                self.finished.set()

    @contextmanager
    def visit(self) -> Iterator[Guest]:
        """Attend the chat while the context is open."""
        guest = Guest(self.random, self.say)
        self._attendants.append(guest)
        self.announce()
        try:
            yield guest
        finally:
            self._attendants.remove(guest)
            self._lines = {id_: line for id_, line in self._lines.items() if line.by is not guest}
            guest.leave()

    def announce(self) -> None:
        """Signal that somebody attends, so that sessions deliver the messages that they hold."""
        self._came.set()

    async def _offer_attended(self, intake: Intake) -> None:
        while True:
            await self._came.wait()
            self._came = trio.Event()
            await intake.offer(Attended(CHAT))

    # -- lines

    async def say(self, asker: Attendant, id_: str, text: str) -> Routed:
        """Offer one line as a message, and return when it is on disk. `asker` is told of its outcome.

        Raises:
            NotAccepted: the line could not be stored.
        """
        await self._ready.wait()
        self._lines[id_] = Asked(asker)
        self._excerpts.keep(id_, text)
        message = ChatMessage(id_, text, USER_NAME, USER_ID)
        try:
            routed = await self._intakes[0].offer(InboundEvent(CHAT, id_, message, chat_name=CHAT_NAME))
        except NotAccepted:
            self._lines.pop(id_, None)
            raise
        if routed.dropped:
            self._lines.pop(id_, None)
        return routed

    async def settle(self) -> None:
        """Wait until every line of the front end is settled."""
        if self.desk is not None:
            await self.desk.settle()

    def unanswered(self) -> list[Line]:
        """Return the lines of the front end without an answer, and those that failed."""
        return [] if self.desk is None else self.desk.unanswered()

    def line(self, id_: str | None) -> Asked | None:
        """Return a line that is not settled."""
        return self._lines.get(id_ or "")

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line."""
        line = self._lines.pop(id_, None)
        if line is not None:
            line.by.settled(id_, failed)

    # -- messages

    def attendants(self) -> Sequence[Attendant]:
        """Return those who attend the chat."""
        return tuple(self._attendants)

    def work(self) -> None:
        """Show that the agent is at work to those who wait."""
        for attendant in self._waiting():
            attendant.work()

    def draft(self, text: str) -> None:
        """Show the text so far of an answer to those who wait. An empty text removes it everywhere."""
        for attendant in self._waiting() if text else self._attendants:
            attendant.draft(text)

    def _waiting(self) -> Iterable[Attendant]:
        """Return those with open lines, or all if there are none."""
        return dict.fromkeys(line.by for line in self._lines.values()) or self._attendants

    def display(self, outgoing: Outgoing) -> Display:
        """Return a message as this chat shows it."""
        shown = render(outgoing)
        match outgoing.content:
            case EditContent(message_id, text):
                shown = f"[edited{self._excerpts.quoted(message_id)}] {text}"
            case ReactionContent(message_id, emoji):
                shown = f"[{emoji}{self._excerpts.quoted(message_id)}]"
            case _:
                self._excerpts.keep(outgoing.message_out_id, shown)
        mark = time_mark(outgoing, self.clock.now(), self.zone)
        named = self.assistant is not None and outgoing.author not in {"", self.assistant}
        by = f"[{outgoing.author}] " if named else ""
        return Display(f"{by}{mark}{shown}", asks=outgoing.asks)


@frozen(eq=False)
class TerminalSender:
    """The sending half of the terminal's channel."""

    terminal: Terminal
    nursery: trio.Nursery
    _showings: dict[str, Showing] = Factory(dict)
    """The messages that somebody tries to show, by id."""

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Have one message shown.

        Raises:
            Unattended: nobody has shown it.
        """
        id_ = outgoing.message_out_id
        showing = self._showings.get(id_)
        if showing is None:
            display = self.terminal.display(outgoing)
            showing = self._showings[id_] = Showing(display, outgoing.in_reply_to)
        await self._show(showing)
        self.terminal.draft("")  # those who were shown only the draft
        if showing.shown or not showing.in_hand:
            del self._showings[id_]
        elif showing.awaited:
            showing.awaited = False
            self.nursery.start_soon(self._tell_late, showing)
        if not showing.shown:
            raise Unattended(NOT_YET if showing.in_hand else NOBODY)
        return Receipt(id_)

    async def _show(self, showing: Showing) -> None:
        """Show it to the attendant whose line it answers, else to all."""
        line = self.terminal.line(showing.answers)
        if line is not None and not showing.shown:  # it may have been shown since the last attempt
            showing.ask([line.by], self.nursery)
            await showing.wait(ASKER_FIRST_S)
        if not showing.shown:
            showing.ask(self.terminal.attendants(), self.nursery)
            await showing.wait(SHOWN_WITHIN_S)
        if showing.shown and line is not None:
            line.answered.set()

    async def _tell_late(self, showing: Showing) -> None:
        await showing.wait()
        self.terminal.announce()

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Return None, because a terminal has no lookup."""
        del outgoing
        return None

    async def typing(self, _address: Address) -> None:
        """Show that the agent is at work."""
        self.terminal.work()

    async def draft(self, _address: Address, text: str) -> None:
        """Show the text so far of an answer."""
        self.terminal.draft(text)

    async def settled(self, _address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Settle a line. If no answer was shown yet, wait for it briefly."""
        line = self.terminal.line(platform_message_id)
        if line is None:
            return
        if outcome == "failed":
            reason = GAVE_UP if line.answered.is_set() else NO_ANSWER
            self.terminal.settled(platform_message_id, reason)
        elif line.answered.is_set():
            self.terminal.settled(platform_message_id, None)
        else:
            self.nursery.start_soon(self._settle_later, platform_message_id, line)

    async def _settle_later(self, id_: str, line: Asked) -> None:
        with trio.move_on_after(REPLY_WITHIN_S):
            await line.answered.wait()
        self.terminal.settled(id_, None)


def render(outgoing: Outgoing) -> str:
    """Return a message as text for people."""
    match as_text(outgoing.content):
        case EditContent(_, text):
            return f"[edited] {text}"
        case ReactionContent(_, emoji):
            return f"[{emoji}]"
        case content:
            files = [f"[file {file.name}, {file.size} bytes]" for file in outgoing.files]
            return "\n".join([*([content.text] if content.text else []), *files])


def harmless(text: str) -> str:
    """Return text without control characters, so that no agent controls the terminal."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    obeyed = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
    return "\N{REPLACEMENT CHARACTER}" if obeyed else character
