"""Watches the disk: the space of each session that runs in a sandbox, and the reserve of the host.

A session that has used up its space, or any session while the reserve is touched, waits: its breaker opens.
Breakers close by themselves once there is space again.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import inf
from pathlib import Path

import structlog
import trio
from attrs import define, field

from nanoclaw.agents import BadContainerJson, read_container_json
from nanoclaw.budgets import OpenBreaker
from nanoclaw.config import Config
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.store import Executor
from nanoclaw.system import disk_use
from nanoclaw.system.clock import Clock
from nanoclaw.system.disk_use import Count

FREE_S = 2.0
"""Interval in seconds at which the free space is read, while sandboxes run or wait for space."""
COUNT_S = 120.0
"""Delay in seconds between two counts of a running session."""
AGAIN_S = 20.0
"""Delay in seconds between two counts of a session that waits for space."""
PAUSE_S = 0.1
"""Delay in seconds between two slices of a count, so that it takes a fifth of a processor at most."""
FIRST_SLICES = 4
"""Slices of a count before a runner starts. A longer count goes on while the runner runs."""
WARN_AT = 0.8
"""Part of its space after which the people of a session are told."""
REOPEN_AT = 1.1
"""Times the reserve that must be free before sandboxes run again."""
GIB = 1 << 30

_log = structlog.get_logger()


Tell = Callable[[str, str, str], None]
"""Tells a session something once: a key, a text for its people, and a text for its agent."""


@define(eq=False)
class _Watched:
    """A session whose space is counted."""

    spec: RunnerSpec
    started_at: float
    tell: Tell
    running: bool = True
    due: float = 0.0
    used: int = 0
    why_full: str | None = None
    """The reason why it has no space left; None if it has some."""
    stops: bool = False
    """True if its runner is stopped even in a turn, because the reserve is touched."""

    @property
    def roots(self) -> Sequence[Path]:
        return self.spec.workspace, self.spec.paths.outbound_dir


@define(eq=False)
class Space:
    """The disk space of one host's sandboxes."""

    config: Config
    executor: Executor
    clock: Clock
    enabled: bool = True
    """False if the runtime does not isolate: then nothing is bounded."""
    low: int | None = field(default=None, init=False)
    """The free bytes while the reserve is touched; None if it is not."""
    _sessions: dict[str, _Watched] = field(factory=dict, init=False)
    _signals: dict[object, tuple[str, Callable[[], None]]] = field(factory=dict, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    @property
    def remark(self) -> str | None:
        """A sentence about the reserve for the status; None while it is free."""
        return None if self.low is None else self._why_low(self.low)

    def breaker(self, session_id: str) -> OpenBreaker | None:
        """Return the breaker that holds a session, or None if it may run."""
        watched = self._sessions.get(session_id)
        day = f"{self.clock.now():%Y-%m-%d}"
        if self.low is not None:
            grace_s = 0.0 if watched is not None and watched.stops else inf
            notice = "The disk of this machine is nearly full, so I cannot work. Your messages are kept."
            return _breaker(f"reserve-{day}", self._why_low(self.low), notice, grace_s)
        if watched is not None and watched.why_full is not None:
            notice = (
                f"My disk space is used up ({watched.why_full}), so I cannot work. Your messages are kept."
            )
            folders = " and ".join(map(str, watched.roots))
            advice = f"free some in {folders}, or raise limits.disk in container.json or [sandbox] disk"
            reason = f"its disk space is used up: {watched.why_full}; {advice}"
            return _breaker(f"full-{session_id}-{day}", reason, notice, 0.0)
        return None

    @contextmanager
    def watch(self, session_id: str, changed: Callable[[], None]) -> Iterator[None]:
        """Call `changed` after each change of the session's breaker, while the context is open."""
        token = object()
        self._signals[token] = (session_id, changed)
        try:
            yield
        finally:
            del self._signals[token]

    def look_again(self, session_id: str) -> None:
        """Count a session's space again soon, because somebody may have freed some."""
        if session_id in self._sessions:
            self._sessions[session_id].due = -inf
            self._wake()

    # -- runners

    @asynccontextmanager
    async def room(self, spec: RunnerSpec, tell: Tell) -> AsyncIterator[None]:
        """Watch a runner's space while the context is open. Wait first until there is some.

        `tell` is called if the people of the session and its agent should know something.
        """
        if not self.enabled:
            yield
            return
        watched = _Watched(spec, trio.current_time(), tell)
        before = self._sessions.get(spec.session_id)
        if before is not None:
            watched.why_full, watched.used = before.why_full, before.used
        self._sessions[spec.session_id] = watched
        self._wake()
        try:
            await self._look_at_reserve()
            await self._count(watched, slices=FIRST_SLICES)
            while self.breaker(spec.session_id) is not None:
                await self._changed.wait()
            yield
        finally:
            watched.running = False
            if watched.why_full is None:
                del self._sessions[spec.session_id]

    # -- the watch

    async def run(self) -> None:
        """Watch the disk until cancelled. It sleeps while no sandbox runs or waits for space."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_reserve)
            nursery.start_soon(self._watch_sessions)

    async def _watch_reserve(self) -> None:
        while True:
            if self._sessions or self.low is not None:
                await self._look_at_reserve()
                await trio.sleep(FREE_S)
            else:
                await self._changed.wait()

    async def _watch_sessions(self) -> None:
        while True:
            now = trio.current_time()
            due = [each for each in self._sessions.values() if each.due <= now]
            if due:
                await self._count(min(due, key=lambda each: each.due))
                continue
            next_ = min((each.due for each in self._sessions.values()), default=inf)
            with trio.CancelScope(deadline=next_):
                await self._changed.wait()

    async def _look_at_reserve(self) -> None:
        reserve = self.config.sandbox.disk_reserve
        try:
            free = await self.executor.run(partial(_free, self.config), lane="untrusted")
        except OSError as error:
            _log.warning("sandbox.free_space_unknown", reason=str(error))
            return
        was = self.low
        if free < (reserve if was is None else reserve * REOPEN_AT):
            self.low = free
            self._stop_working(free, reserve, first=was is None)
        else:
            self.low = None
            for each in self._sessions.values():
                each.stops = False
        if (was is None) != (self.low is None):
            _log.warning("sandbox.disk_reserve", free=free, reserve=reserve, touched=self.low is not None)
        if was is not None or self.low is not None:
            self._tell_all()

    def _stop_working(self, free: int, reserve: int, *, first: bool) -> None:
        """Stop one more runner that works: the one that was started last. All of them, if it is urgent.

        Those without work have stopped `first`, because the breaker is open.
        """
        working = [each for each in self._sessions.values() if each.running and not each.stops]
        if free < reserve / 2:
            for each in working:
                each.stops = True
        elif working and not first:
            max(working, key=lambda each: each.started_at).stops = True

    # -- the count of a session

    async def _count(self, watched: _Watched, *, slices: float = inf) -> None:
        """Count the space of a session. If it takes more slices, the next count begins soon."""
        if not watched.running and not self._lives(watched.spec.session_id):
            del self._sessions[watched.spec.session_id]  # its next start counts again
            return
        limit = await self.executor.run(partial(_limit, watched.spec, self.config), lane="untrusted")
        count = Count(watched.roots, limit)
        try:
            while not await self.executor.run(count.go_on, lane="untrusted"):
                slices -= 1
                if slices <= 0:
                    watched.due = -inf
                    return
                await trio.sleep(PAUSE_S)
        finally:
            count.close()
        self._judge(watched, count, limit)

    def _judge(self, watched: _Watched, count: Count, limit: int) -> None:
        id_, was = watched.spec.session_id, watched.why_full
        watched.used = count.found
        watched.why_full = count.too_many or (f"more than {_gib(limit)}" if count.full else None)
        watched.due = trio.current_time() + (COUNT_S if watched.why_full is None else AGAIN_S)
        if (was is None) != (watched.why_full is None):
            _log.warning("sandbox.disk_used_up", session=id_, reason=watched.why_full, used=count.found)
        if was != watched.why_full:
            self._tell(id_)
        if watched.why_full is None:
            self._warn(watched, limit)
            if not watched.running and self._sessions.get(id_) is watched:
                del self._sessions[id_]

    def _warn(self, watched: _Watched, limit: int) -> None:
        """Tell people and the agent, once a day, while the agent can still clean up."""
        if not watched.running or watched.used < WARN_AT * limit:
            return
        used, of = _gib(watched.used), _gib(limit)
        people = (
            f"I have used {used} of the {of} of disk space that I may use. Tell me what to delete. Once all "
            "of it is used, I must stop until the owner frees some."
        )
        agent = (
            f"{used} of {of} of disk space are used, by your working directory and your outbox. Delete what "
            "you made and do not need any more, and ask before you delete anything else. Once all is used, "
            "you are stopped."
        )
        watched.tell(f"disk-nearly-full-{self.clock.now():%Y-%m-%d}", people, agent)

    # -- telling

    def _why_low(self, free: int) -> str:
        reserve = _gib(self.config.sandbox.disk_reserve)
        found = f"{_gib(free)} are free, and {reserve} are kept free for the host"
        return f"the disk is nearly full: {found}; free some, or lower [sandbox] disk_reserve"

    def _lives(self, session_id: str) -> bool:
        return any(id_ == session_id for id_, _ in self._signals.values())

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _tell_all(self) -> None:
        for _, changed in list(self._signals.values()):
            changed()
        self._wake()

    def _tell(self, session_id: str) -> None:
        for id_, changed in list(self._signals.values()):
            if id_ == session_id:
                changed()
        self._wake()


def _breaker(key: str, reason: str, notice: str, grace_s: float) -> OpenBreaker:
    again = " I will answer once there is space again; `nanoclaw status` says what to do."
    return OpenBreaker(key, reason, reason, notice + again, None, kind="disk", grace_s=grace_s)


def _free(config: Config) -> int:
    """Return the free bytes of the disk of the data or of the agents, whichever has fewer. Blocking."""
    return min(disk_use.free_bytes(folder) for folder in (config.data, config.groups) if folder.is_dir())


def _limit(spec: RunnerSpec, config: Config) -> int:
    """Return the limit of a session's space, as its files say now. Blocking."""
    known = spec.limits.disk_bytes if spec.limits.disk_bytes is not None else config.sandbox.disk
    try:
        own = read_container_json(spec.workspace.parent).limits.disk
    except (BadContainerJson, OSError):
        return known
    return config.sandbox.disk if own is None else own


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"
