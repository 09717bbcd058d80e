"""The children of one supervisor: start them, stop them in order, choose the error to raise at the end."""

from typing import Literal

import trio
from attrs import define, field

from actors._child import Child
from actors._errors import GaveUp, leaf_errors

Order = Literal["reverse", "together"]


@define(eq=False)
class Children:
    """Runs each child as a task of one nursery.

    A child is shielded from the nursery's cancellation. It ends by itself or by `stop_all`.
    """

    stop_within: float
    order: Order
    all: dict[Child, None] = field(factory=dict, init=False)
    """Every child that is not gone, in start order."""
    latest: dict[str, Child] = field(factory=dict, init=False)
    """The newest child of each name."""
    stopping: bool = field(default=False, init=False)
    nursery: trio.Nursery = field(init=False)
    _gave_up: GaveUp | None = field(default=None, init=False)
    _gave_up_before_stop: bool = field(default=False, init=False)
    """True if a child escalated before the body of the scope ended."""

    def add(self, child: Child) -> None:
        """Run a child. It starts once the previous child of that name is gone."""
        predecessor = self.latest.get(child.name)
        self.all[child] = None
        self.latest[child.name] = child
        self.nursery.start_soon(self._run, child, predecessor, name=f"actor {child.name}")

    def named(self, name: str) -> list[Child]:
        """List the children of that name, oldest first: at most one is live, the others are stopping."""
        return [child for child in self.all if child.name == name]

    async def stop_all(self) -> None:
        """Stop every child in order. At the deadline, cancel all that are left at once."""
        self.stopping = True
        self._gave_up_before_stop = self._gave_up is not None
        deadline = trio.current_time() + self.stop_within
        with trio.CancelScope(shield=True):
            with trio.move_on_at(deadline):
                await self._stop_in_order(deadline)
            self._close_all(deadline)
            for child in list(self.all):
                await child.done.wait()

    def error_to_raise(self, raised: BaseException | None) -> BaseException | None:
        """Choose between the error that the body raised and `GaveUp`."""
        if self._gave_up is None or (raised is not None and _holds_interrupt(raised)):
            return raised
        if raised is None or self._gave_up_before_stop or not isinstance(raised, Exception):
            return self._gave_up
        return raised

    async def _run(self, child: Child, predecessor: Child | None) -> None:
        try:
            await child.live(predecessor)
        finally:
            self._forget(child)
        if child.escalated:
            self._give_up(child)

    def _forget(self, child: Child) -> None:
        del self.all[child]
        if self.latest[child.name] is child:
            del self.latest[child.name]

    def _give_up(self, child: Child) -> None:
        if self._gave_up is None:
            self._gave_up = GaveUp(child.name)
            self._gave_up.__cause__ = child.cause
            self.nursery.cancel_scope.cancel()

    async def _stop_in_order(self, deadline: float) -> None:
        if self.order == "together":
            self._close_all(deadline)
        for child in reversed(list(self.all)):
            child.close("stopped", deadline)
            await child.done.wait()

    def _close_all(self, deadline: float) -> None:
        for child in reversed(list(self.all)):
            child.close("stopped", deadline)


def primary_error(group: BaseExceptionGroup[BaseException], body: BaseException | None) -> BaseException:
    """Choose the one error to raise from the nursery's group.

    A child's KeyboardInterrupt, SystemExit or the like comes first, then the error of the body.
    """
    for each in group.exceptions:
        if not isinstance(each, Exception | trio.Cancelled):
            return each
    if body is None or any(isinstance(leaf, trio.Cancelled) for leaf in leaf_errors(body)):
        return group.exceptions[0]  # trio has already removed the cancellations that it handles itself
    return body  # the original object: a nursery copies a group that passes through it


def _holds_interrupt(error: BaseException) -> bool:
    """Tell if the error is, or contains, a KeyboardInterrupt, SystemExit or the like."""
    return any(not isinstance(leaf, Exception | trio.Cancelled) for leaf in leaf_errors(error))
