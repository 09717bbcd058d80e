"""One supervised actor: its incarnations, from its first start until it is gone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from random import Random
from typing import Any, Generic, TypeAlias, TypeVar

import trio

from actors._errors import Killed, Reason, Stopped, crashed, simplest
from actors._events import Buried, Crash, Ended, Event, Retired, Started
from actors._life import Exit, Life
from actors._mailbox import Mailbox
from actors._message import set_current
from actors._policy import Bury, Policy, Restarts
from actors._ref import Ref
from actors._serving import Server
from actors._tree import Node, State

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Context(Generic[A_co]):
    """What a recipe is given: its actor's name and ref, and the way to retire. Good for one incarnation."""

    __slots__ = ("_child", "_incarnation", "name", "ref")

    def __init__(self, child: "Child", ref: Ref[A_co]) -> None:
        self.name = child.name
        self.ref = ref
        self._child = child
        self._incarnation = child.incarnation

    def retire(self) -> bool:
        """Leave, if nothing is left to do: no message, no signal, nobody waiting for room.

        Synchronous: when it returns True the actor is shut, no message reaches it any more, its loop and its
        recipe are left once the message in flight is done, and its name is free.
        """
        return self._child.retire(self._incarnation)


Recipe: TypeAlias = Callable[[Context[A]], AbstractAsyncContextManager[A]]
"""Acquires what the actor owns, yields it, and releases in reverse: its text is the order of teardown."""


class Child:
    """Runs a recipe again and again, as its policy says. Its supervisor runs `live` as a task."""

    def __init__(
        self, name: str, recipe: Recipe[Any], policy: Policy, random: Random, report: Callable[[Event], None]
    ) -> None:
        self.name = name
        self.state: State = "starting"
        self.incarnation = 0
        self.done = trio.Event()
        self.cause: Exception | None = None
        """The last crash."""
        self._recipe = recipe
        self._policy = policy
        self._report = report
        self._restarts = Restarts(name, policy, random)
        self._life = Life()
        self._mailbox = Mailbox(name, policy.capacity)
        self._server = Server(self._mailbox, policy.batch, report)
        self._closing = trio.Event()
        self._reason: Reason | None = None
        self._deadline = inf
        self._scope: trio.CancelScope | None = None
        self._killed = False
        self._up_at: float | None = None
        self.ref: Ref[Any] = Ref(name, self._mailbox, self._life)

    # -- what its supervisor and its context may do

    @property
    def closing(self) -> bool:
        """Whether it is on its way out, for whatever reason: its name is free."""
        return self._closing.is_set()

    @property
    def escalated(self) -> bool:
        """Whether it is gone because it gave up on behalf of all."""
        return self._reason == "escalated"

    def runs_in(self, task: trio.lowlevel.Task) -> bool:
        """Whether this is the task of the actor itself."""
        return self._mailbox.owner is task

    def close(self, reason: Reason, deadline: float = inf) -> None:
        """Take no more messages, finish the one in flight, leave; from `deadline` on be cancelled.

        Called again, it only brings the deadline forward.
        """
        if self._reason is None:
            self._reason = reason
            self.state = "stopping"
            self._closing.set()
            self._mailbox.shut(reason)
            self._life.closing(Exit(reason, self.cause))
        self._deadline = min(self._deadline, deadline)
        if self._scope is not None:
            self._scope.deadline = self._deadline

    def kill(self) -> None:
        """Cancel the incarnation, if there is one."""
        if self._scope is not None:
            self._killed = True
            self._scope.cancel()

    def retire(self, incarnation: int) -> bool:
        """See `Context.retire`."""
        if incarnation != self.incarnation or self.closing or not self._mailbox.empty:
            return False
        self.close("retired")
        return True

    def node(self) -> Node:
        """This actor now."""
        server, message = self._server, self._server.message
        return Node(
            name=self.name,
            state=self.state,
            mailbox=len(self._mailbox.queue),
            capacity=self._mailbox.capacity,
            in_flight=message,
            in_flight_age=trio.current_time() - server.since if message else 0.0,
            restarts=max(0, self.incarnation - 1),
            last_crash=None if self.cause is None else repr(self.cause),
        )

    # -- its life

    async def live(self, predecessor: "Child | None") -> None:
        """Run to the end, out of reach of the surrounding cancellation; return when it is gone.

        Raises nothing of its actor's making but KeyboardInterrupt, SystemExit and their like.
        """
        self._mailbox.owner = trio.lowlevel.current_task()
        set_current(None)
        try:
            with trio.CancelScope(shield=True):
                if predecessor is not None:
                    await predecessor.done.wait()
                while not self.closing:
                    await self._incarnate()
        finally:
            self._end()

    async def _incarnate(self) -> None:
        self.incarnation += 1
        self.state, self._up_at, self._killed = "starting", None, False
        error: Exception | None = None
        try:
            with trio.CancelScope() as self._scope:
                await self._run()
        except Exception as raised:  # noqa: BLE001 -- the one place where an actor's accident ends
            error = raised
        self._scope = None
        cause = self._cause(error)
        if cause is not None:
            await self._crash(cause)

    async def _run(self) -> None:
        async with self._recipe(Context(self, self.ref)) as actor:
            self._rise()
            try:
                await self._server.serve(actor)
            finally:
                self._sink()

    def _rise(self) -> None:
        self._up_at = trio.current_time()
        if not self.closing:
            self.state = "running"
            self._life.up()
        self._report(Started(self.name, self.incarnation - 1))

    def _sink(self) -> None:
        set_current(None)
        self.state = "leaving"
        if not self.closing:
            self._life.down()

    def _cause(self, error: Exception | None) -> Exception | None:
        """Why the incarnation ended: a crash, or None if it was told to."""
        if self._killed and not self.closing:
            killed = Killed(self.name)
            killed.__cause__ = error
            return killed
        if error is None and not self.closing:
            return RuntimeError(f"the recipe of {self.name!r} swallowed an error or a cancellation")
        return None if error is None else simplest(error)

    async def _crash(self, cause: Exception) -> None:
        now = trio.current_time()
        self.cause = cause
        message = self._server.message
        self._server.land(lambda: crashed(self.name, cause))
        up_for = 0.0 if self._up_at is None else now - self._up_at
        delay = None if self.closing else self._restarts.after(cause, now, up_for)
        self._report(Crash(self.name, cause, message, delay))
        if self.closing:
            return
        if delay is not None:
            await self._rest("restarting", delay)
        elif isinstance(self._policy.give_up, Bury):
            await self._bury(cause, self._policy.give_up.retry_after)
        else:
            self.close("escalated")

    async def _bury(self, cause: Exception, retry_after: float | None) -> None:
        self._mailbox.shut("buried")
        self._life.over(Exit("buried", cause))
        self._report(Buried(self.name, retry_after, cause))
        await self._rest("buried", inf if retry_after is None else retry_after)
        if not self.closing:
            self._restarts.reset()
            self._life.begin()
            self._mailbox.reopen()

    async def _rest(self, state: State, seconds: float) -> None:
        self.state = state
        with trio.move_on_after(seconds):
            await self._closing.wait()

    def _end(self) -> None:
        self.close("stopped")  # where it left by KeyboardInterrupt and the like
        reason = self._reason or "stopped"
        self._server.land(lambda: Stopped(self.name, reason))
        self._life.over(Exit(reason, self.cause))
        self.done.set()
        self._report(Retired(self.name) if reason == "retired" else Ended(self.name, reason))
