"""One client of the terminal's chat: its lines, and the events that wait for it."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from errno import EPIPE
from random import Random

import trio
from attrs import Factory, define

from nanoclaw.channels.terminal.visits import ChatEvent, Done, Shown, TooSlow, Working
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
    take_unseen: Callable[[], Sequence[str]]
    _tags: dict[str, str] = Factory(dict)
    """The tags of its open lines, by line id."""
    _events: deque[ChatEvent] = Factory(deque)
    _on_its_way: bool = False
    """True if the first event was given to the client, and has not been confirmed."""
    _overrun: bool = False
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

    def listen(self) -> None:
        """Get the messages that came while no client was there."""
        self._events.extend(Shown(text) for text in self.take_unseen())
        self._change()

    async def next(self) -> ChatEvent:
        """Wait for the next event. A further call confirms that the last event has arrived.

        Raises:
            TooSlow: too many events were waiting. The visit has ended.
        """
        if self._on_its_way:
            self._events.popleft()
            self._on_its_way = False
        while not self._events and not self._overrun:
            await self._changed.wait()
        if self._overrun:
            raise TooSlow
        self._on_its_way = True
        return self._events[0]

    # -- for the terminal

    async def show(self, text: str, answers: str | None) -> None:
        """Queue a message for the client, without waiting for it. Raise OSError if too many wait."""
        if len(text) + sum(map(len, self.not_arrived())) > MAX_WAITING_SIZE:
            self._cut_off()
        self._add(Shown(text, self._tags.get(answers or "")))
        if self._overrun:
            raise BrokenPipeError(EPIPE, "the client does not read its messages")

    def work(self) -> None:
        """Show that the agent is at work."""
        if not self._events or not isinstance(self._events[-1], Working):
            self._add(Working())

    def settled(self, id_: str, failed: str | None) -> None:
        """Settle a line."""
        tag = self._tags.pop(id_, None)
        if tag is not None:
            self._add(Done(tag, failed))

    def not_arrived(self) -> list[str]:
        """Return the messages that the client has not confirmed."""
        return [event.text for event in self._events if isinstance(event, Shown)]

    def _add(self, event: ChatEvent) -> None:
        if len(self._events) >= MAX_WAITING:
            self._cut_off()
        if not self._overrun:
            self._events.append(event)
            self._change()

    def _cut_off(self) -> None:
        self._overrun = True
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
