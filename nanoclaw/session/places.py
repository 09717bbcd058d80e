"""The places for running sandboxes, and the queue of the sessions that wait for one.

A place that becomes free goes to the session that has waited longest. While somebody waits, runners without
work are asked to stop, the longest idle first. A session whose runner always has work gives its place up
between two turns, once another one has waited for `PATIENCE_S`. No turn is ever interrupted.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from math import inf

import structlog
import trio
from attrs import Factory, define, field, frozen

PATIENCE_S = 60.0
"""Seconds that a session waits before others give up their places between turns, after as long with them."""
CHECK_S = 5.0
"""Interval in seconds at which the first in the queue looks for runners that may stop."""

_log = structlog.get_logger()


@frozen
class Use:
    """The use that a session makes of its place."""

    idle_since: float | None = None
    """The time, on the monotonic clock, since when its runner has no work. None if it has some, or starts."""
    in_turn: bool = True
    """True if stopping its runner would interrupt a turn, or a start."""


@frozen
class Tenant:
    """A session that holds a place or waits for one."""

    session_id: str
    use: Callable[[], Use]
    """Returns its present use of the place."""
    give_up: Callable[[bool], None]
    """Asks it to stop its runner, if it has no work; with True also if it has some, between two turns."""
    waits: Callable[[bool], None]
    """Called with True when it must wait, and with False when it need not wait any more."""


@define(eq=False)
class _Waiting:
    tenant: Tenant
    since: float
    granted: trio.Event = Factory(trio.Event)


@define(eq=False)
class _Held:
    tenant: Tenant
    since: float
    asked_at: float = -inf
    """The time at which it was last asked to give the place up."""


@define(eq=False)
class Places:
    """The places of one host."""

    limit: int | None = None
    """The number of places; None if there is no limit."""
    _held: dict[str, _Held] = field(factory=dict, init=False)
    _queue: list[_Waiting] = field(factory=list, init=False)
    _outlived: set[str] = field(factory=set, init=False)

    @property
    def running(self) -> int:
        """The number of places that are taken."""
        return len(self._held)

    def position(self, session_id: str) -> int | None:
        """Return the place of a session in the queue, counted from 1; None if it does not wait."""
        found = (n for n, each in enumerate(self._queue, 1) if each.tenant.session_id == session_id)
        return next(found, None)

    def outlived(self, session_ids: Iterable[str]) -> None:
        """Note sessions whose runners outlived the last host. They need not wait, for their runners exist."""
        self._outlived |= set(session_ids)
        for waiting in [each for each in self._queue if each.tenant.session_id in self._outlived]:
            self._grant(waiting)

    @asynccontextmanager
    async def taken(self, tenant: Tenant) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the context is open."""
        await self._take(tenant)
        try:
            yield
        finally:
            self._free(tenant)

    async def _take(self, tenant: Tenant) -> None:
        waiting = _Waiting(tenant, trio.current_time())
        self._queue.append(waiting)
        self._hand_out()
        if waiting.granted.is_set() or tenant.session_id in self._outlived:
            self._grant(waiting)
            return
        _log.info("session.waits_for_place", position=len(self._queue), limit=self.limit)
        tenant.waits(True)  # noqa: FBT003 -- its field says what it is
        try:
            await self._wait(waiting)
        except BaseException:
            if waiting.granted.is_set():
                self._free(tenant)
            else:
                self._queue.remove(waiting)
            raise
        tenant.waits(False)  # noqa: FBT003 -- as above

    async def _wait(self, waiting: _Waiting) -> None:
        while not waiting.granted.is_set():
            if self._queue[0] is waiting:
                self.reconsider()
            with trio.move_on_after(CHECK_S):
                await waiting.granted.wait()

    def _free(self, tenant: Tenant) -> None:
        del self._held[tenant.session_id]
        self._hand_out()

    def _hand_out(self) -> None:
        """Give free places to those who have waited longest."""
        while self._queue and (self.limit is None or len(self._held) < self.limit):
            self._grant(self._queue[0])

    def _grant(self, waiting: _Waiting) -> None:
        if not waiting.granted.is_set():
            self._queue.remove(waiting)
            self._outlived.discard(waiting.tenant.session_id)
            self._held[waiting.tenant.session_id] = _Held(waiting.tenant, trio.current_time())
            waiting.granted.set()

    def reconsider(self) -> None:
        """If sessions wait, ask as many others to give up their places. Call it when a runner's work ends."""
        if not self._queue:
            return
        now = trio.current_time()
        held = list(self._held.values())
        asked = sum(now - each.asked_at < CHECK_S for each in held)
        over = max(0, len(held) - (self.limit or 0))
        wanted = len(self._queue) + over - asked
        patient = sum(now - each.since >= PATIENCE_S for each in self._queue) - asked
        others = [each for each in held if now - each.asked_at >= CHECK_S]
        idle, busy = _by_use(others, now)
        for each in idle[: max(0, wanted)]:
            self._ask(each, now, between_turns=False)
        for each in busy[: max(0, patient - len(idle))]:
            self._ask(each, now, between_turns=True)

    def _ask(self, held: _Held, now: float, *, between_turns: bool) -> None:
        held.asked_at = now
        held.tenant.give_up(between_turns)


def _by_use(held: Sequence[_Held], now: float) -> tuple[Sequence[_Held], Sequence[_Held]]:
    """Return the places without work, the longest idle first; and those between turns, the oldest first."""
    uses = [(each, each.tenant.use()) for each in held]
    idle = [(use.idle_since, n, each) for n, (each, use) in enumerate(uses) if use.idle_since is not None]
    busy = [
        each
        for each, use in uses
        if use.idle_since is None and not use.in_turn and now - each.since >= PATIENCE_S
    ]
    return [each for _, _, each in sorted(idle)], busy
