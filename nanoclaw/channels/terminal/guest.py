"""One client of the terminal's chat: its lines, and the events that wait for it."""

from collections import deque
from collections.abc import Awaitable, Callable
from errno import EPIPE
from itertools import count
from random import Random

import trio
from attrs import Factory, define

from nanoclaw.channels.terminal.showing import Display
from nanoclaw.channels.terminal.visits import ChatEvent, Done, Drafting, Shown, TooSlow, Working
from nanoclaw.records import NotAccepted, Routed
from nanoclaw.system.ids import new_id

MAX_WAITING, MAX_WAITING_SIZE = 1000, 32 * 1024 * 1024
"""Limits of events, and of characters in all, that may wait for a client. Beyond them its visit ends."""


@define(eq=False)
class Guest:
    """One visit. It implements `Attendant` for the terminal, and `Visit` for the control socket."""

    random: Random
    offer: "Callable[[Guest, str, str], Awaitable[Routed]]"
    """Sends a line's id and text to the host."""
    confirms: bool = False
    """True if the client says what it has shown. Else a message counts as shown once it is sent."""
    wants_drafts: bool = False
    _tags: dict[str, str] = Factory(dict)
    """The tags of its open lines, by line id."""
    _events: deque[ChatEvent] = Factory(deque)
    _numbers: "count[int]" = Factory(lambda: count(1))
    _unconfirmed: dict[int, trio.Event] = Factory(dict)
    """The messages that it was given and has not shown, by number. Their events are set once it has."""
    _on_its_way: bool = False
    """True if the first event was given to the client, and has not been confirmed."""
    _drafted: bool = False
    """True if the client shows a draft, or will."""
    _gone: bool = False
    _changed: trio.Event = Factory(trio.Event)

    # -- for the client

    async def say(self, tag: str, text: str) -> Routed:
        """Offer a line, and return when it is on disk. Later events of this line carry `tag`.

        Raises:
            NotAccepted: the line could not be stored.
        """
        id_ = new_id("line", self.random)
        self._tags[id_] = tag
        try:
            routed = await self.offer(self, id_, text)
        except NotAccepted:
            self._tags.pop(id_, None)
            raise
        if routed.dropped:
            self._tags.pop(id_, None)
        return routed

    def listen(self, *, confirms: bool, drafts: bool) -> None:
        """Say whether the client confirms what it shows, and whether it wants drafts."""
        self.confirms, self.wants_drafts = confirms, drafts

    def confirm(self, number: int) -> None:
        """Note that the client has shown a message."""
        shown = self._unconfirmed.pop(number, None)
        if shown is not None:
            shown.set()

    async def next(self) -> ChatEvent:
        """Wait for the next event. A further call says that the last event was sent.

        Raises:
            TooSlow: too many events were waiting. The visit has ended.
        """
        if self._on_its_way:
            self._on_its_way = False
            self._sent(self._events.popleft())
        while not self._events and not self._gone:
            await self._changed.wait()
        if self._gone:
            raise TooSlow
        self._on_its_way = True
        return self._events[0]

    def _sent(self, event: ChatEvent) -> None:
        if isinstance(event, Shown) and not self.confirms:
            self.confirm(event.number)

    # -- for the terminal

    async def show(self, display: Display, answers: str | None) -> None:
        """Give a message to the client, and wait until it is shown. Raise OSError if the client is gone."""
        number, shown = next(self._numbers), trio.Event()
        waiting = sum(len(each.text) for each in self._events if isinstance(each, Shown))
        if waiting + len(display.text) > MAX_WAITING_SIZE:
            self.leave()
        self._unconfirmed[number] = shown
        self._drop_draft()  # the message takes its place
        self._drafted = False
        self._add(Shown(display.text, self._tags.get(answers or ""), number, display.asks))
        if not self._gone:
            await shown.wait()
        if self._gone and number in self._unconfirmed:
            raise BrokenPipeError(EPIPE, "the client has not shown it")

    def work(self) -> None:
        """Show that the agent is at work."""
        if not self._events or not isinstance(self._events[-1], Working):
            self._add(Working())

    def draft(self, text: str) -> None:
        """Show the text so far of an answer. It replaces a draft that still waits."""
        if self.wants_drafts and (text or self._drafted):
            self._drop_draft()
            self._drafted = bool(text)
            self._add(Drafting(text))

    def _drop_draft(self) -> None:
        """Remove the draft that waits for the client, if there is one."""
        for n in range(self._on_its_way, len(self._events)):
            if isinstance(self._events[n], Drafting):
                del self._events[n]
                return

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line."""
        tag = self._tags.pop(id_, None)
        if tag is not None:
            self._add(Done(tag, failed))

    def leave(self) -> None:
        """End the visit. Messages that it has not confirmed count as not shown."""
        self._gone = True
        for waiting in self._unconfirmed.values():
            waiting.set()
        self._change()

    def _add(self, event: ChatEvent) -> None:
        if len(self._events) >= MAX_WAITING:
            self.leave()
        if not self._gone:
            self._events.append(event)
            self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
