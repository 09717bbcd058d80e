"""One supervised actor: its incarnations, from the first start until it is gone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from random import Random
from typing import Any, Generic, TypeAlias, TypeVar

import trio

from actors._errors import Killed, Reason, Stopped, crashed, unwrapped
from actors._events import Buried, Crash, Ended, Event, Retired, Started
from actors._mailbox import Mailbox
from actors._message import set_current
from actors._monitors import Exit, Monitors
from actors._policy import Bury, Policy, Restarts
from actors._ref import Ref
from actors._serving import Server
from actors._tree import Node, State

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Context(Generic[A_co]):
    """The argument of a recipe: the actor's name, its ref, and `retire`. Valid for one incarnation."""

    __slots__ = ("_child", "_incarnation", "name", "ref")

    def __init__(self, child: "Child", ref: Ref[A_co]) -> None:
        self.name = child.name
        self.ref = ref
        self._child = child
        self._incarnation = child.incarnation

    def retire(self) -> bool:
        """Stop this actor if it has nothing left to do: no message, no signal, no sender waiting for room.

        Synchronous. If it returns True, the actor takes no more messages and its name is free. The actor
        leaves its loop and its recipe once the message in flight is done.
        """
        return self._child.retire(self._incarnation)


Recipe: TypeAlias = Callable[[Context[A]], AbstractAsyncContextManager[A]]
"""Acquires the resources of the actor, yields the actor, and releases them in reverse order."""


class Child:
    """Runs a recipe, and reruns it after a crash as the policy says. The supervisor runs `live` as a task."""

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
        self._monitors = Monitors()
        self._mailbox = Mailbox(name, policy.capacity)
        self._server = Server(self._mailbox, policy.batch, report)
        self._closing = trio.Event()
        self._reason: Reason | None = None
        self._deadline = inf
        self._scope: trio.CancelScope | None = None
        self._killed = False
        self._up_at: float | None = None
        self.ref: Ref[Any] = Ref(name, self._mailbox, self._monitors)

    # -- for the supervisor and the context

    @property
    def closing(self) -> bool:
        """True once the actor will never take messages again. Its name is free."""
        return self._closing.is_set()

    @property
    def escalated(self) -> bool:
        """True if the actor was given up and its policy escalates."""
        return self._reason == "escalated"

    def runs_in(self, task: trio.lowlevel.Task) -> bool:
        """Tell if this is the actor's own task."""
        return self._mailbox.owner is task

    def close(self, reason: Reason, deadline: float = inf) -> None:
        """Take no more messages, finish the one in flight, then leave. At `deadline` it is cancelled.

        A second call can only make the deadline earlier.
        """
        if self._reason is None:
            self._reason = reason
            self.state = "stopping"
            self._closing.set()
            self._mailbox.shut(reason)
            self._monitors.closing(Exit(reason, self.cause))
        self._deadline = min(self._deadline, deadline)
        if self._scope is not None:
            self._scope.deadline = self._deadline

    def kill(self) -> None:
        """Cancel the current incarnation, if there is one."""
        if self._scope is not None:
            self._killed = True
            self._scope.cancel()

    def retire(self, incarnation: int) -> bool:
        """Implement `Context.retire`. A context of an earlier incarnation retires nothing."""
        if incarnation != self.incarnation or self.closing or not self._mailbox.empty:
            return False
        self.close("retired")
        return True

    def node(self) -> Node:
        """Return a snapshot of this actor."""
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

    # -- incarnations

    async def live(self, predecessor: "Child | None") -> None:
        """Run all incarnations, shielded from the surrounding cancellation; return when the actor is gone.

        Raises no error of the actor, except KeyboardInterrupt, SystemExit and the like.
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
        except Exception as raised:  # noqa: BLE001 -- the one place that catches every error of an actor
            error = raised
        self._scope = None
        cause = self._cause(error)
        if cause is not None:
            await self._crash(cause)

    async def _run(self) -> None:
        async with self._recipe(Context(self, self.ref)) as actor:
            self._mark_up()
            try:
                await self._server.serve(actor)
            finally:
                self._mark_down()

    def _mark_up(self) -> None:
        self._up_at = trio.current_time()
        if not self.closing:
            self.state = "running"
            self._monitors.up()
        self._report(Started(self.name, self.incarnation - 1))

    def _mark_down(self) -> None:
        set_current(None)
        self.state = "leaving"
        if not self.closing:
            self._monitors.down()

    def _cause(self, error: Exception | None) -> Exception | None:
        """Return the error that ended the incarnation, or None if it was told to end."""
        if self._killed and not self.closing:
            killed = Killed(self.name)
            killed.__cause__ = error
            return killed
        if error is None and not self.closing:
            return RuntimeError(
                f"the recipe of {self.name!r} swallowed an error or a cancellation; it must let both through"
            )
        return None if error is None else unwrapped(error)

    async def _crash(self, cause: Exception) -> None:
        now = trio.current_time()
        self.cause = cause
        message = self._server.message
        self._server.fail_in_flight(lambda: crashed(self.name, cause))
        up_for = 0.0 if self._up_at is None else now - self._up_at
        delay = None if self.closing else self._restarts.after(cause, now, up_for)
        self._report(Crash(self.name, cause, message, delay))
        if self.closing:
            return
        if delay is not None:
            await self._wait("restarting", delay)
        elif isinstance(self._policy.give_up, Bury):
            await self._bury(cause, self._policy.give_up.retry_after)
        else:
            self.close("escalated")

    async def _bury(self, cause: Exception, retry_after: float | None) -> None:
        self._mailbox.shut("buried")
        self._monitors.ended(Exit("buried", cause))
        self._report(Buried(self.name, retry_after, cause))
        await self._wait("buried", inf if retry_after is None else retry_after)
        if not self.closing:
            self._restarts.reset()
            self._monitors.reset()
            self._mailbox.reopen()

    async def _wait(self, state: State, seconds: float) -> None:
        self.state = state
        with trio.move_on_after(seconds):
            await self._closing.wait()

    def _end(self) -> None:
        self.close("stopped")  # has an effect only after a KeyboardInterrupt or the like
        reason = self._reason or "stopped"
        self._server.fail_in_flight(lambda: Stopped(self.name, reason))
        self._monitors.ended(Exit(reason, self.cause))
        self.done.set()
        self._report(Retired(self.name) if reason == "retired" else Ended(self.name, reason))
