"""Deterministic scheduling: the seed decides trio's random order, and trio's clock reads no real clock."""

from collections.abc import Callable, Iterator, MutableSequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.per_thread import PerThread, Shared

_trio: Any = import_module("trio._core._run")
"""Trio's scheduler. `_ALLOW_DETERMINISTIC_SCHEDULING` and `_r` are there for this use (issue 890)."""
EVERY = 64
"""The number of scheduler rounds between two calls of a watcher, as rounds are very frequent."""


class Order(Random):
    """Trio's randomness while a world is open. Trio calls it once a round, with the tasks to run."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.rounds = 0
        self.watch: Callable[[], None] | None = None
        """Called regularly between two rounds; it must not raise."""
        self._left: MutableSequence[Any] = []
        """The tasks of this round that have not run yet; trio removes them."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Called by trio."""
        self._left = x
        if len(x) > 1:
            super().shuffle(x)
        self.rounds += 1
        if self.rounds % EVERY == 0 and self.watch is not None:
            self.watch()

    def is_alone(self) -> bool:
        """Return whether only the current task can run now, and no instrument counts its steps."""
        runner = _trio.GLOBAL_RUN_CONTEXT.runner
        return not (
            self._left
            or runner.runq
            or "after_task_step" in runner.instruments.data
            or runner.deadlines.next_deadline() <= runner.clock.current_time()
        )


class _Orders(Random):
    """Trio's source of randomness while worlds are open: each thread has its innermost world's order."""

    def __init__(self) -> None:
        super().__init__(0)
        self.standing = PerThread[Order]()
        self.shared = Shared(self._replace)
        self._trios: Random = _trio._r  # noqa: SLF001 -- see `_trio`

    def _replace(self, stack: ExitStack) -> None:
        self._trios = _trio._r  # noqa: SLF001 -- see `_trio`
        for name, value in (("_r", self), ("_ALLOW_DETERMINISTIC_SCHEDULING", True)):
            stack.callback(setattr, _trio, name, getattr(_trio, name))
            setattr(_trio, name, value)

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Called by trio."""
        (self.standing.here() or self._trios).shuffle(x)

    def random(self) -> float:
        """Called by trio when it runs on a real clock."""
        return self._trios.random()


_ORDERS = _Orders()


async def give_way() -> None:
    """Run a checkpoint, but skip the scheduler if only the current task could run next."""
    order = _ORDERS.standing.here()
    if order is not None and order.is_alone():
        await trio.lowlevel.checkpoint_if_cancelled()
    else:
        await trio.lowlevel.checkpoint()


@contextmanager
def scheduled_by(seed: int) -> Iterator[Order]:
    """Make trio schedule in this thread in an order that only the seed decides."""
    order = Order(seed)
    with _ORDERS.shared.used(), _ORDERS.standing.holding(order):
        yield order


@contextmanager
def virtual_time() -> Iterator[None]:
    """Check that time jumps when all tasks wait. While it is open, the clock does not read a real clock.

    Raises:
        WorldError: trio runs on another clock.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or clock.autojump_threshold or clock.rate:
        raise WorldError(
            "a simulated world needs trio's MockClock(autojump_threshold=0): use the fixture `world`, "
            "`simulate(scenario, seed=...)`, or ask for World(real=True)"
        )
    # At rate 0 this value is trio's whole use of real time, and trio asks for it 200 times a message.
    vars(clock)["current_time"] = partial(getattr, clock, "_virtual_base")
    try:
        yield
    finally:
        vars(clock).pop("current_time", None)
