"""The mailbox of one actor, kept across its restarts, and the tasks that wait in it.

Every method but `wait` is synchronous, so the mailbox is consistent whenever another task runs.
"""

from collections import OrderedDict, deque
from typing import Any

from outcome import Error, Value
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from actors._errors import Reason, Stopped


class Entry:
    """A message in delivery. `task` waits for the reply, or in a cast for room; None if no task waits."""

    __slots__ = ("asked", "message", "task", "waiting_in")

    def __init__(self, message: Any, task: Task | None, *, asked: bool) -> None:
        self.message = message
        self.task = task
        self.asked = asked
        self.waiting_in: OrderedDict[Entry, None] | None = None
        """The mailbox's `blocked` while the entry waits for room, else None."""

    def answer(self, value: Any) -> None:
        """Wake the asker with a value, if one waits."""
        if self.task is not None:
            reschedule(self.task, Value(value))
            self.task = None

    def fail(self, error: Exception) -> None:
        """Wake the waiting task with an error, if one waits."""
        if self.task is not None:
            reschedule(self.task, Error(error))
            self.task = None

    def abandon(self, _raise_cancel: RaiseCancelT) -> Abort:
        """Handle the cancellation of the task: withdraw an entry not yet queued, else discard its reply."""
        self.task = None
        if self.waiting_in is not None:
            del self.waiting_in[self]
            self.waiting_in = None
        return Abort.SUCCEEDED


class Mailbox:
    """A bounded queue, the senders blocked because it is full, and the pending signals.

    Invariant: `blocked` is empty unless the queue is full.
    """

    __slots__ = ("_waiting", "actor", "blocked", "capacity", "owner", "queue", "shut_for", "signals")

    def __init__(self, actor: str, capacity: int) -> None:
        self.actor = actor
        self.capacity = capacity
        self.queue: deque[Entry] = deque()
        self.blocked: OrderedDict[Entry, None] = OrderedDict()
        self.signals: OrderedDict[Any, None] = OrderedDict()
        self.shut_for: Reason | None = None
        self.owner: Task | None = None
        """The task that empties the queue. It must not wait for room itself."""
        self._waiting: Task | None = None

    # -- senders

    def put(self, entry: Entry) -> bool:
        """Queue an entry. Return False if the queue is full; the sender's task must then wait for room.

        Raises:
            Stopped: the mailbox is shut.
            RuntimeError: the queue is full and the sender is the actor itself.
        """
        if self.shut_for is not None:
            raise Stopped(self.actor, self.shut_for)
        if len(self.queue) >= self.capacity:
            self._block(entry)
            return False
        self.queue.append(entry)
        if self._waiting is not None:
            self.wake()
        return True

    def signal(self, message: Any) -> None:
        """Add a signal, merged with an equal pending one. Dropped if the mailbox is shut."""
        if self.shut_for is None:
            self.signals[message] = None
            self.wake()

    # -- the actor

    def take(self) -> Entry:
        """Take the oldest entry. The sender blocked longest moves into the queue."""
        entry = self.queue.popleft()
        if self.blocked:
            self._admit()
        return entry

    async def wait(self) -> None:
        """Wait until there is something to do, or the mailbox is shut."""
        self._waiting = current_task()
        await wait_task_rescheduled(self._stop_waiting)

    def wake(self) -> None:
        """Wake the actor if it waits."""
        if self._waiting is not None:
            reschedule(self._waiting)
            self._waiting = None

    # -- the supervision

    @property
    def empty(self) -> bool:
        """True if nothing is left to do. Then no sender is blocked either."""
        return not (self.queue or self.signals)

    def shut(self, reason: Reason) -> None:
        """Refuse messages from now on. Waiting senders get `Stopped`; signals are dropped."""
        self.shut_for = reason
        senders = [*self.queue, *self.blocked]
        self.queue.clear()
        self.blocked.clear()
        self.signals.clear()
        for entry in senders:
            entry.waiting_in = None
            entry.fail(Stopped(self.actor, reason))
        self.wake()

    def reopen(self) -> None:
        """Take messages again."""
        self.shut_for = None

    def _block(self, entry: Entry) -> None:
        if self.owner is current_task():
            raise RuntimeError(
                f"actor {self.actor!r} cast to itself with its mailbox full and would wait for ever"
            )
        entry.waiting_in = self.blocked
        self.blocked[entry] = None

    def _admit(self) -> None:
        entry, _ = self.blocked.popitem(last=False)
        entry.waiting_in = None
        self.queue.append(entry)
        if not entry.asked:
            entry.answer(None)

    def _stop_waiting(self, _raise_cancel: RaiseCancelT) -> Abort:
        self._waiting = None
        return Abort.SUCCEEDED
