"""The children of one supervisor: started in order, stopped in order, and what is to be raised in the end."""

from typing import Literal

import trio
from attrs import define, field

from actors._child import Child
from actors._errors import GaveUp, leaves

Order = Literal["reverse", "together"]


@define(eq=False)
class Brood:
    """Keeps children as tasks of a nursery, each shielded: only `leave` ends them, or their own accidents."""

    stop_within: float
    order: Order
    children: dict[Child, None] = field(factory=dict, init=False)
    """In the order of their start, until they are gone."""
    latest: dict[str, Child] = field(factory=dict, init=False)
    """The one that a name means."""
    leaving: bool = field(default=False, init=False)
    nursery: trio.Nursery = field(init=False)
    _gave_up: GaveUp | None = field(default=None, init=False)
    _gave_up_first: bool = field(default=False, init=False)
    """Whether it gave up before the body was done."""

    def add(self, child: Child) -> None:
        """Let a child live, once whoever had its name is gone."""
        predecessor = self.latest.get(child.name)
        self.children[child] = None
        self.latest[child.name] = child
        self.nursery.start_soon(self._keep, child, predecessor, name=f"actor {child.name}")

    def named(self, name: str) -> list[Child]:
        """Everyone of that name, those on their way out first."""
        return [child for child in self.children if child.name == name]

    async def leave(self) -> None:
        """Stop every child in order; those that are not gone in time are cancelled, all at once."""
        self.leaving = True
        self._gave_up_first = self._gave_up is not None
        deadline = trio.current_time() + self.stop_within
        with trio.CancelScope(shield=True):
            with trio.move_on_at(deadline):
                await self._stop_in_order(deadline)
            self._stop_together(deadline)
            for child in list(self.children):
                await child.done.wait()

    def verdict(self, raised: BaseException | None) -> BaseException | None:
        """The one exception to end with, given what the body raised."""
        if self._gave_up is None or (raised is not None and _passes_through(raised)):
            return raised
        if raised is None or self._gave_up_first or not isinstance(raised, Exception):
            return self._gave_up
        return raised

    async def _keep(self, child: Child, predecessor: Child | None) -> None:
        try:
            await child.live(predecessor)
        finally:
            self._forget(child)
        if child.escalated:
            self._give_up(child)

    def _forget(self, child: Child) -> None:
        del self.children[child]
        if self.latest[child.name] is child:
            del self.latest[child.name]

    def _give_up(self, child: Child) -> None:
        if self._gave_up is None:
            self._gave_up = GaveUp(child.name)
            self._gave_up.__cause__ = child.cause
            self.nursery.cancel_scope.cancel()

    async def _stop_in_order(self, deadline: float) -> None:
        if self.order == "together":
            self._stop_together(deadline)
        for child in reversed(list(self.children)):
            child.close("stopped", deadline)
            await child.done.wait()

    def _stop_together(self, deadline: float) -> None:
        for child in reversed(list(self.children)):
            child.close("stopped", deadline)


def foremost(group: BaseExceptionGroup[BaseException], body: BaseException | None) -> BaseException:
    """Of what the nursery wrapped a child's KeyboardInterrupt or the like, else what the body raised."""
    for each in group.exceptions:
        if not isinstance(each, Exception | trio.Cancelled):
            return each
    if body is None or any(isinstance(leaf, trio.Cancelled) for leaf in leaves(body)):
        return group.exceptions[0]  # trio took out what was its own to catch
    return body  # itself: a group that passes through a nursery is copied


def _passes_through(error: BaseException) -> bool:
    """Whether it is a KeyboardInterrupt, a SystemExit or the like, or holds one."""
    return any(not isinstance(leaf, Exception | trio.Cancelled) for leaf in leaves(error))
