"""One seed, one order: what trio decides at random is decided by the seed, and its clock asks no real one."""

import threading
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from nanoclaw.testing.errors import WorldError

_trio: Any = import_module("trio._core._run")
"""Its own. `_ALLOW_DETERMINISTIC_SCHEDULING` and `_r` are there for this use (trio issue 890)."""
EVERY = 64
"""So many rounds of the scheduler pass between two looks of whoever watches them: they are most frequent."""


class Order(Random):
    """Trio's randomness while a world is up: asked once a round, with the tasks that are to run in it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.rounds = 0
        self.watch: Callable[[], None] | None = None
        """Called from time to time, between two rounds; it must not raise."""
        self._left: MutableSequence[Any] = []
        """The tasks of this round that have not had their turn; trio takes them out."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Called by trio."""
        self._left = x
        if len(x) > 1:
            super().shuffle(x)
        self.rounds += 1
        if self.rounds % EVERY == 0 and self.watch is not None:
            self.watch()

    def is_alone(self) -> bool:
        """Whether only the current task has something to do at this moment, and nobody counts its steps."""
        runner = _trio.GLOBAL_RUN_CONTEXT.runner
        return not (
            self._left
            or runner.runq
            or "after_task_step" in runner.instruments.data
            or runner.deadlines.next_deadline() <= runner.clock.current_time()
        )


class _Orders(Random):
    """What trio asks while worlds are up: in each thread the innermost one, and elsewhere its own."""

    def __init__(self) -> None:
        super().__init__(0)
        self.before: tuple[bool, Random] = _trio._ALLOW_DETERMINISTIC_SCHEDULING, _trio._r  # noqa: SLF001 -- see `_trio`
        self.standing: dict[int, list[Order]] = {}
        """By thread."""

    def here(self) -> Order | None:
        """This thread's."""
        standing = self.standing.get(threading.get_ident())
        return standing[-1] if standing else None

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Called by trio."""
        (self.here() or self.before[1]).shuffle(x)

    def random(self) -> float:
        """Called by trio where it runs on a real clock."""
        return self.before[1].random()


_lock = threading.Lock()
_orders: _Orders | None = None
"""Those of the process, while there are any."""


async def give_way() -> None:
    """A checkpoint, but where the scheduler could only come back at once it is not troubled."""
    order = None if _orders is None else _orders.here()
    if order is not None and order.is_alone():
        await trio.lowlevel.checkpoint_if_cancelled()
    else:
        await trio.lowlevel.checkpoint()


@contextmanager
def scheduled_by(seed: int) -> Iterator[Order]:
    """Let trio schedule in an order that the seed alone decides, in this thread."""
    order, thread = Order(seed), threading.get_ident()
    with _lock:
        orders = _begin() if _orders is None else _orders
        orders.standing.setdefault(thread, []).append(order)
    try:
        yield order
    finally:
        with _lock:
            orders.standing[thread].remove(order)
            if not orders.standing[thread]:
                del orders.standing[thread]
            if not orders.standing:
                _end(orders)


def _begin() -> _Orders:
    global _orders  # noqa: PLW0603 -- so is what it stands in for
    _orders = _Orders()
    _trio._ALLOW_DETERMINISTIC_SCHEDULING, _trio._r = True, _orders  # noqa: SLF001 -- see `_trio`
    return _orders


def _end(orders: _Orders) -> None:
    global _orders  # noqa: PLW0603 -- likewise
    _trio._ALLOW_DETERMINISTIC_SCHEDULING, _trio._r = orders.before  # noqa: SLF001 -- see `_trio`
    _orders = None


@contextmanager
def virtual_time() -> Iterator[None]:
    """Check that time jumps wherever every task waits. While it is open that clock asks no real one.

    Raises:
        WorldError: trio runs on another clock.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or clock.autojump_threshold or clock.rate:
        raise WorldError(
            "a simulated world needs trio's MockClock(autojump_threshold=0): use the fixture `world`, "
            "`simulate(scenario, seed=...)`, or ask for World(real=True)"
        )
    # At rate 0 what it makes of the real time is no more than this, and it is asked 200 times a message.
    vars(clock)["current_time"] = partial(getattr, clock, "_virtual_base")
    try:
        yield
    finally:
        vars(clock).pop("current_time", None)
