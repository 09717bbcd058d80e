"""Supervisors: scopes that start actors, restart them, and stop them before the scope ends."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from random import Random
from typing import Any, TypeVar

import trio
from attrs import define, field

from actors._child import Child, Recipe
from actors._children import Children, Order, primary_error
from actors._errors import Stopped
from actors._events import Event, ignore
from actors._policy import DEFAULT, Policy
from actors._ref import Ref
from actors._tree import Node, State

A = TypeVar("A")


@define(eq=False)
class Supervisor:
    """Starts, restarts and stops actors. `open_supervisor` makes it."""

    name: str
    _children: Children
    _policy: Policy
    _random: Random
    _observer: Callable[[Event], None]
    _nested: "dict[Supervisor, None]" = field(factory=dict, init=False)

    def start(self, name: str, recipe: Recipe[A], policy: Policy | None = None) -> Ref[A]:
        """Start an actor. Synchronous; the ref takes messages at once.

        If a retired or stopped actor of that name is still stopping, the new one starts after it.

        Raises:
            ValueError: a live actor has that name.
            Stopped: the supervisor itself is stopping.
        """
        if self._children.stopping:
            raise Stopped(name, f"supervisor {self.name!r} is stopping")
        if self.get(name) is not None:
            raise ValueError(f"supervisor {self.name!r} already has a live actor {name!r}")
        child = Child(name, recipe, policy or self._policy, self._random, self._observer)
        self._children.add(child)
        return child.ref

    def get(self, name: str) -> Ref[Any] | None:
        """Return the actor of that name, or None. A buried actor is returned; one that is stopping is not."""
        child = self._children.latest.get(name)
        return None if child is None or child.closing else child.ref

    async def stop(self, name: str, within: float | None = None) -> None:
        """Stop every actor of that name and wait until they are gone. An unknown name is no error.

        After `within` seconds (None: the supervisor's `stop_within`) they are cancelled. Cancelling this
        call does not undo the stop.

        Raises:
            RuntimeError: an actor would wait for its own end. It can use `Context.retire` instead.
        """
        children = self._children.named(name)
        if any(child.runs_in(trio.lowlevel.current_task()) for child in children):
            raise RuntimeError(f"actor {name!r} would wait for its own end")
        deadline = trio.current_time() + (self._children.stop_within if within is None else within)
        for child in children:
            child.close("stopped", deadline)
        for child in children:
            await child.done.wait()

    def kill(self, name: str) -> None:
        """Crash the actor's incarnation with the cause `Killed`. Between incarnations it does nothing.

        For tests and operators.

        Raises:
            KeyError: there is no actor of that name.
        """
        self._children.latest[name].kill()

    def tree(self) -> Node:
        """Return a snapshot: the actors in start order, then the nested supervisors."""
        actors = [child.node() for child in self._children.all]
        nested = [supervisor.tree() for supervisor in self._nested]
        state: State = "stopping" if self._children.stopping else "running"
        return Node(self.name, state, children=(*actors, *nested))

    @contextmanager
    def showing(self, nested: "Supervisor") -> Iterator[None]:
        """Show another supervisor in this one's tree. Used by `open_supervisor`."""
        self._nested[nested] = None
        try:
            yield
        finally:
            del self._nested[nested]


@asynccontextmanager
async def open_supervisor(  # noqa: PLR0913 -- keywords, each with a default
    name: str,
    *,
    under: Supervisor | None = None,
    policy: Policy = DEFAULT,
    random: Random | None = None,
    observer: Callable[[Event], None] = ignore,
    stop_within: float = 5.0,
    order: Order = "reverse",
) -> AsyncIterator[Supervisor]:
    """Open a scope for actors. The actors stop before it ends, whether normally, by an error or cancelled.

    Actors stop in reverse start order, or all together. Each takes no more messages, finishes the one in
    flight and leaves its recipe. After `stop_within` seconds in all, the remaining ones are cancelled.

    Args:
        name: the name that the tree shows.
        under: the supervisor whose tree shows this one. It has no other effect.
        policy: the policy of every actor that is started without one.
        random: the source of the back-off's jitter.
        observer: is called with every event. It must not raise: that would end the scope.
        stop_within: seconds for all actors together to stop.
        order: `reverse` stops one after the other, `together` all at once.

    Raises:
        GaveUp: an actor whose policy escalates was given up. The body is cancelled first.
        BaseException: the error of the body, unchanged.
    """
    children = Children(stop_within, order)
    supervisor = Supervisor(name, children, policy, random or Random(), observer)  # noqa: S311 -- no secret
    body: BaseException | None = None
    raised: BaseException | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as children.nursery:
            with under.showing(supervisor) if under else nullcontext():
                try:
                    yield supervisor
                except BaseException as error:
                    body = error
                    raise
                finally:
                    await children.stop_all()
    except BaseExceptionGroup as group:
        raised = primary_error(group, body)
    final = children.error_to_raise(raised)
    if final is not None:
        try:
            raise final
        finally:
            del body, raised, final  # their tracebacks hold this frame
