"""The address of an actor: the only way to reach it."""

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from actors._mailbox import Entry, Mailbox
from actors._message import Message
from actors._monitors import Exit, Monitors

A_co = TypeVar("A_co", covariant=True)
R = TypeVar("R")


class Ref(Generic[A_co]):
    """An address that stays valid across restarts: `ask` and `cast` down the tree, `signal` up and sideways.

    `Supervisor.start` makes it. Once the actor has retired or has been stopped, the address stays shut.
    """

    __slots__ = ("_mailbox", "_monitors", "name")

    def __init__(self, name: str, mailbox: Mailbox, monitors: Monitors) -> None:
        self.name = name
        self._mailbox = mailbox
        self._monitors = monitors

    def __repr__(self) -> str:
        return f"<Ref {self.name!r}>"

    async def ask(self, message: Message[A_co, R]) -> R:
        """Send a message and wait for its reply. There is no time limit; set one with `trio.fail_after`.

        If the mailbox has room, the message is queued before this call first yields. If the caller is
        cancelled while it waits for room, the message was never sent. If it is cancelled later, the message
        is handled and the reply is discarded.

        Raises:
            Crashed: the actor crashed while it handled this message; the cause is chained.
            Stopped: the actor takes no messages, or was stopped before this one was handled.
            Refusal: the handler refused.
            RuntimeError: an actor asked itself, so it would wait for ever.
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
        """Send a message. Wait only while the mailbox is full; if cancelled there, it was never sent.

        Raises:
            Stopped: the actor takes no messages.
            RuntimeError: an actor cast to itself with its mailbox full, so it would wait for ever.
        """
        await checkpoint_if_cancelled()
        entry = Entry(message, None, asked=False)
        if self._mailbox.put(entry):
            await cancel_shielded_checkpoint()
        else:
            entry.task = current_task()
            await wait_task_rescheduled(entry.abandon)

    def signal(self, message: Message[A_co, object]) -> None:
        """Tell the actor that something changed. Never blocks; dropped if the actor takes no messages.

        Equal pending signals are merged into one. So the message must be hashable, and its handler must read
        the current state again. Signals overtake queued messages.
        """
        self._mailbox.signal(message)

    @property
    def shut(self) -> bool:
        """True if the actor takes no messages now. A burial or a stop can shut it at any moment."""
        return self._mailbox.shut_for is not None

    def observed_by(self, observer: Callable[[object], None]) -> "Ref[A_co]":
        """Return an address of the same actor that also calls `observer` with each message asked or cast."""
        return _ObservedRef(self, observer)

    async def wait_started(self) -> None:
        """Wait until an incarnation is up. Return at once if one is.

        Raises:
            Crashed: the actor was given up; the cause is chained.
            Stopped: the actor retired or was stopped first.
        """
        exit_ = await self._monitors.started.get()
        if exit_ is not None:
            raise exit_.error(self.name)

    async def wait_stopped(self) -> Exit:
        """Wait until the actor has retired, was stopped or given up. A temporary burial counts, too."""
        return await self._monitors.gone.get()


class _ObservedRef(Ref[A_co]):
    """An address that reports its messages. Signals carry no data and are not reported."""

    __slots__ = ("_listener",)

    def __init__(self, ref: Ref[A_co], observer: Callable[[object], None]) -> None:
        super().__init__(ref.name, ref._mailbox, ref._monitors)  # noqa: SLF001 -- a Ref itself
        self._listener = observer

    async def ask(self, message: Message[A_co, R]) -> R:
        self._listener(message)
        return await super().ask(message)

    async def cast(self, message: Message[A_co, object]) -> None:
        self._listener(message)
        await super().cast(message)
