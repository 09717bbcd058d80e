"""A visitor of the terminal's chat: what it says, and what waits to be shown to it."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from errno import EPIPE
from random import Random

import trio
from attrs import Factory, define

from nanoclaw.records import NotAccepted, Routed
from nanoclaw.system.ids import new_id
from nanoclaw.visits import ChatEvent, Done, Shown, TooSlow, Working

MAX_WAITING, MAX_WAITING_SIZE = 1000, 32 * 1024 * 1024
"""Events, and characters in all, that wait for a visitor; with more it is too slow, and its visit over."""


@define(eq=False)
class Guest:
    """One visit: an attendant of the terminal on one side, a `Visit` of the control socket on the other."""

    random: Random
    offer: "Callable[[Guest, str, str], Awaitable[Routed]]"
    """Takes a line's id and text to the host."""
    take_unseen: Callable[[], Sequence[str]]
    _tags: dict[str, str] = Factory(dict)
    """Of its open lines, by their ids."""
    _events: deque[ChatEvent] = Factory(deque)
    _on_its_way: bool = False
    """Whether the first event has been given to the visitor."""
    _overrun: bool = False
    _changed: trio.Event = Factory(trio.Event)

    # -- the visitor's side

    async def say(self, tag: str, text: str) -> Routed:
        """Offer a line; returns when it is on disk. What becomes of it carries `tag`.

        Raises:
            NotAccepted: it could not be stored.
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
        """Be shown what came while nobody was there."""
        self._events.extend(Shown(text) for text in self.take_unseen())
        self._change()

    async def next(self) -> ChatEvent:
        """Wait for the next event; to ask for another one says that the last one has arrived.

        Raises:
            TooSlow: too much has been waiting; this visit is over.
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

    # -- the terminal's side

    async def show(self, text: str, answers: str | None) -> None:
        """Let it wait for the visitor, who is not waited for; raises OSError where too much waits."""
        if len(text) + sum(map(len, self.not_arrived())) > MAX_WAITING_SIZE:
            self._cut_off()
        self._add(Shown(text, self._tags.get(answers or "")))
        if self._overrun:
            raise BrokenPipeError(EPIPE, "the client does not read its messages")

    def work(self) -> None:
        """The agent is at work."""
        if not self._events or not isinstance(self._events[-1], Working):
            self._add(Working())

    def settled(self, id_: str, failed: str | None) -> None:
        """A line is done with."""
        tag = self._tags.pop(id_, None)
        if tag is not None:
            self._add(Done(tag, failed))

    def not_arrived(self) -> list[str]:
        """Messages that the visitor did not get, as far as can be known."""
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
