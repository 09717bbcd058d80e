"""A mailbox: the messages to one actor, across its incarnations, and the tasks that wait for them.

All of it is synchronous: between two steps of the actor or of a sender it is consistent.
"""

from collections import OrderedDict, deque
from typing import Any

from outcome import Error, Value
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from actors._errors import Reason, Stopped


class Entry:
    """One message under way. `task` is parked for its reply (or, of a cast, for room); None: nobody waits."""

    __slots__ = ("asked", "lobby", "message", "task")

    def __init__(self, message: Any, task: Task | None, *, asked: bool) -> None:
        self.message = message
        self.task = task
        self.asked = asked
        self.lobby: OrderedDict[Entry, None] | None = None
        """Where it waits for room, while it does."""

    def answer(self, value: Any) -> None:
        """Wake the asker with a value, if there is one."""
        if self.task is not None:
            reschedule(self.task, Value(value))
            self.task = None

    def fail(self, error: Exception) -> None:
        """Wake whoever waits with an error, if anyone does."""
        if self.task is not None:
            reschedule(self.task, Error(error))
            self.task = None

    def abandon(self, _raise_cancel: RaiseCancelT) -> Abort:
        """Its task was cancelled: without a place yet it is withdrawn, else its reply is discarded."""
        self.task = None
        if self.lobby is not None:
            del self.lobby[self]
            self.lobby = None
        return Abort.SUCCEEDED


class Mailbox:
    """A bounded queue, those who wait for room in it, and the pending signals.

    Only if the queue is full does anyone wait in the lobby.
    """

    __slots__ = ("_parked", "actor", "capacity", "lobby", "owner", "queue", "shut_for", "signals")

    def __init__(self, actor: str, capacity: int) -> None:
        self.actor = actor
        self.capacity = capacity
        self.queue: deque[Entry] = deque()
        self.lobby: OrderedDict[Entry, None] = OrderedDict()
        self.signals: OrderedDict[Any, None] = OrderedDict()
        self.shut_for: Reason | None = None
        self.owner: Task | None = None
        """The task that empties it: it may not wait for itself."""
        self._parked: Task | None = None

    # -- senders

    def put(self, entry: Entry) -> bool:
        """Take an entry: True if it has its place, False if its task must park until it has.

        Raises `Stopped`, and RuntimeError if the one to park is the one to make room.
        """
        if self.shut_for is not None:
            raise Stopped(self.actor, self.shut_for)
        if len(self.queue) >= self.capacity:
            self._queue_up(entry)
            return False
        self.queue.append(entry)
        if self._parked is not None:
            self.wake()
        return True

    def signal(self, message: Any) -> None:
        """Note a signal; an equal one that is pending stands for both. Dropped when shut."""
        if self.shut_for is None:
            self.signals[message] = None
            self.wake()

    # -- the actor

    def take(self) -> Entry:
        """The oldest entry; whoever waited longest for room moves up."""
        entry = self.queue.popleft()
        if self.lobby:
            self._admit()
        return entry

    async def wait(self) -> None:
        """Park until there is something to do, or the mailbox is shut."""
        self._parked = current_task()
        await wait_task_rescheduled(self._unpark)

    def wake(self) -> None:
        """Let the actor look again, if it is parked."""
        if self._parked is not None:
            reschedule(self._parked)
            self._parked = None

    # -- its child

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do: and so nobody waits for room either."""
        return not (self.queue or self.signals)

    def shut(self, reason: Reason) -> None:
        """Refuse from now on; whoever waits gets `Stopped`, signals are dropped."""
        self.shut_for = reason
        waiting = [*self.queue, *self.lobby]
        self.queue.clear()
        self.lobby.clear()
        self.signals.clear()
        for entry in waiting:
            entry.lobby = None
            entry.fail(Stopped(self.actor, reason))
        self.wake()

    def reopen(self) -> None:
        """Take messages again."""
        self.shut_for = None

    def _queue_up(self, entry: Entry) -> None:
        if self.owner is current_task():
            raise RuntimeError(f"actor {self.actor!r} cast to itself with its mailbox full")
        entry.lobby = self.lobby
        self.lobby[entry] = None

    def _admit(self) -> None:
        entry, _ = self.lobby.popitem(last=False)
        entry.lobby = None
        self.queue.append(entry)
        if not entry.asked:
            entry.answer(None)

    def _unpark(self, _raise_cancel: RaiseCancelT) -> Abort:
        self._parked = None
        return Abort.SUCCEEDED
