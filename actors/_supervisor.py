"""Supervisors: scopes in which actors live, and which no actor outlives."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from random import Random
from typing import Any, TypeVar

import trio
from attrs import define, field

from actors._brood import Brood, Order, foremost
from actors._child import Child, Recipe
from actors._errors import Stopped
from actors._events import Event, ignore
from actors._policy import DEFAULT, Policy
from actors._ref import Ref
from actors._tree import Node, State

A = TypeVar("A")


@define(eq=False)
class Supervisor:
    """Starts actors, restarts them, stops them. Comes from `open_supervisor` only."""

    name: str
    _brood: Brood
    _policy: Policy
    _random: Random
    _observer: Callable[[Event], None]
    _nested: "dict[Supervisor, None]" = field(factory=dict, init=False)

    def start(self, name: str, recipe: Recipe[A], policy: Policy | None = None) -> Ref[A]:
        """Start an actor; synchronous, and its ref takes messages at once.

        While a retired or stopped one of that name is still leaving, the new one waits for it.

        Raises:
            ValueError: a live actor has that name.
            Stopped: the supervisor itself is leaving.
        """
        if self._brood.leaving:
            raise Stopped(name, f"supervisor {self.name!r} is leaving")
        if self.get(name) is not None:
            raise ValueError(f"supervisor {self.name!r} already has a live actor {name!r}")
        child = Child(name, recipe, policy or self._policy, self._random, self._observer)
        self._brood.add(child)
        return child.ref

    def get(self, name: str) -> Ref[Any] | None:
        """The live actor of that name, not one that is leaving; a buried one still has its name."""
        child = self._brood.latest.get(name)
        return None if child is None or child.closing else child.ref

    async def stop(self, name: str, within: float | None = None) -> None:
        """Stop whoever has that name, and wait until they are gone; if nobody has it, all is well.

        After `within` seconds (None: the supervisor's own `stop_within`) they are cancelled. Cancelling the
        call does not undo it.

        Raises:
            RuntimeError: an actor would wait for its own end; it may retire instead.
        """
        children = self._brood.named(name)
        if any(child.runs_in(trio.lowlevel.current_task()) for child in children):
            raise RuntimeError(f"actor {name!r} would wait for its own end")
        deadline = trio.current_time() + (self._brood.stop_within if within is None else within)
        for child in children:
            child.close("stopped", deadline)
        for child in children:
            await child.done.wait()

    def kill(self, name: str) -> None:
        """Cancel the actor's incarnation: a crash of cause `Killed`. Between incarnations it does nothing.

        For tests and operators. Raises KeyError if there is no actor of that name.
        """
        self._brood.latest[name].kill()

    def tree(self) -> Node:
        """This supervisor now: its actors in the order of their start, then the supervisors under it."""
        actors = [child.node() for child in self._brood.children]
        nested = [supervisor.tree() for supervisor in self._nested]
        state: State = "stopping" if self._brood.leaving else "running"
        return Node(self.name, state, children=(*actors, *nested))

    @contextmanager
    def showing(self, nested: "Supervisor") -> Iterator[None]:
        """Show another supervisor under this one, for a while; `open_supervisor` does it."""
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
    """A scope for actors. However it is left, by its end, an error or cancellation, they are stopped first.

    In reverse order of their start (or all together) each takes no more messages, finishes the one in
    flight and leaves its recipe, uncancelled, until `stop_within` seconds have passed in all; whatever is
    left is then cancelled. `under` only says where the tree shows this supervisor; `random` is for
    back-off; `observer` is told of every event, and must not raise: that would end the scope.

    Raises:
        GaveUp: an actor whose policy escalates was given up; the body is cancelled first.
        BaseException: whatever the body raised, as it is.
    """
    brood = Brood(stop_within, order)
    supervisor = Supervisor(name, brood, policy, random or Random(), observer)  # noqa: S311 -- no secret
    body: BaseException | None = None
    raised: BaseException | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as brood.nursery:
            with under.showing(supervisor) if under else nullcontext():
                try:
                    yield supervisor
                except BaseException as error:
                    body = error
                    raise
                finally:
                    await brood.leave()
    except BaseExceptionGroup as group:
        raised = foremost(group, body)
    verdict = brood.verdict(raised)
    if verdict is not None:
        try:
            raise verdict
        finally:
            del body, raised, verdict  # they hold this frame
