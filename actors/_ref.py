"""The handle by which everyone else reaches an actor."""

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from actors._life import Exit, Life
from actors._mailbox import Entry, Mailbox
from actors._message import Message

A_co = TypeVar("A_co", covariant=True)
R = TypeVar("R")


class Ref(Generic[A_co]):
    """An address that outlives incarnations: `ask` and `cast` down the tree, `signal` up and sideways.

    Comes from `Supervisor.start`. After the actor retired or was stopped it stays shut for good.
    """

    __slots__ = ("_life", "_mailbox", "name")

    def __init__(self, name: str, mailbox: Mailbox, life: Life) -> None:
        self.name = name
        self._mailbox = mailbox
        self._life = life

    def __repr__(self) -> str:
        return f"<Ref {self.name!r}>"

    async def ask(self, message: Message[A_co, R]) -> R:
        """Send a message and wait for its reply, for as long as it takes: time limits are the caller's.

        With room in the mailbox the message has its place before this call first yields. Cancelled while
        waiting for room, it was never sent; cancelled later, it is handled and the reply discarded.

        Raises:
            Crashed: the actor crashed with this message in flight; the cause is chained.
            Stopped: the actor takes no messages, or was stopped before this one was handled.
            Refusal: whichever its handler raised.
            RuntimeError: an actor asked itself, and would have waited for ever.
        """
        await checkpoint_if_cancelled()
        task = current_task()
        mailbox = self._mailbox
        if mailbox.owner is task:
            raise RuntimeError(f"actor {self.name!r} asked itself and would wait for ever")
        entry = Entry(message, task, asked=True)
        mailbox.put(entry)
        return cast("R", await wait_task_rescheduled(entry.abandon))

    async def cast(self, message: Message[A_co, object]) -> None:
        """Send a message and wait only while the mailbox is full; cancelled meanwhile, it was never sent.

        Raises:
            Stopped: the actor takes no messages.
            RuntimeError: an actor cast to itself, found its mailbox full and would have waited for ever.
        """
        await checkpoint_if_cancelled()
        entry = Entry(message, None, asked=False)
        if self._mailbox.put(entry):
            await cancel_shielded_checkpoint()
        else:
            entry.task = current_task()
            await wait_task_rescheduled(entry.abandon)

    def signal(self, message: Message[A_co, object]) -> None:
        """Make the actor look at something; never blocks, and is dropped when the actor takes no messages.

        An equal signal that is pending stands for both, so the message must be hashable and its handler
        rereads the truth. Signals overtake queued messages.
        """
        self._mailbox.signal(message)

    @property
    def shut(self) -> bool:
        """Whether it takes no messages now; a burial or a stop can shut it the next moment."""
        return self._mailbox.shut_for is not None

    def heard_by(self, listener: Callable[[object], None]) -> "Ref[A_co]":
        """The same address for others to use: `listener` is called with each message they ask or cast."""
        return _HeardRef(self, listener)

    async def wait_started(self) -> None:
        """Wait until an incarnation is up; at once, if one is.

        Raises:
            Crashed: it was given up; the cause is chained.
            Stopped: it retired or was stopped first.
        """
        exit_ = await self._life.started.get()
        if exit_ is not None:
            raise exit_.error(self.name)

    async def wait_stopped(self) -> Exit:
        """Wait until the actor retired, was stopped or given up; of a burial, even if it will be retried."""
        return await self._life.gone.get()


class _HeardRef(Ref[A_co]):
    """An address somebody listens at. Signals carry nothing, so they pass by."""

    __slots__ = ("_listener",)

    def __init__(self, ref: Ref[A_co], listener: Callable[[object], None]) -> None:
        super().__init__(ref.name, ref._mailbox, ref._life)  # noqa: SLF001 -- of its own kind
        self._listener = listener

    async def ask(self, message: Message[A_co, R]) -> R:
        self._listener(message)
        return await super().ask(message)

    async def cast(self, message: Message[A_co, object]) -> None:
        self._listener(message)
        await super().cast(message)
