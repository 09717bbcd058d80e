"""Liveness, as an mtime (contract 1), and the watchdog over a provider that has fallen silent."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from math import inf
from pathlib import Path
from types import TracebackType

import trio
from attrs import define, field

from agent_runner.background import background
from agent_runner.config import RunnerConfig
from agent_runner.seams import Seams

INTERVAL = 10.0


def touch(path: Path, now: datetime) -> None:
    """Set the mtime from the clock, which a simulation runs ahead of the file system's. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    os.utime(path, (now.timestamp(), now.timestamp()))


@define(eq=False)
class Activity:
    """The last activity of a provider, on trio's clock. It is not silent while one of its tools runs."""

    last: float = field(factory=trio.current_time)
    running_tools: int = 0

    def note(self) -> None:
        """Note activity now."""
        self.last = trio.current_time()

    def silent_for(self) -> float:
        """Return the seconds since the last activity."""
        return 0.0 if self.running_tools else trio.current_time() - self.last


@define(eq=False)
class Heartbeat:
    """The one task of a runner that touches its heartbeat file: every 10 s while a turn is open."""

    _file: Path
    _seams: Seams
    _silence_limit: float
    _turn: tuple[Activity, trio.CancelScope] | None = field(default=None, init=False)
    """The open turn."""
    _sleep: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    def touch(self) -> None:
        """Touch the file. Raises OSError."""
        touch(self._file, self._seams.clock.now())

    def watchdog(self, activity: Activity) -> "TurnWatchdog":
        """Return the watchdog of one turn."""
        return TurnWatchdog(self, activity)

    def begin(self, activity: Activity, scope: trio.CancelScope) -> None:
        """Start beating for a turn; `scope` is cancelled when the provider has been silent for too long."""
        self._try_touch()
        self._turn = activity, scope
        self._sleep.deadline = trio.current_time() + INTERVAL

    def end(self) -> None:
        """Stop beating."""
        self._turn = None
        self._sleep.deadline = inf

    async def run(self) -> None:
        """Beat until cancelled, while turns are open."""
        while True:
            with self._sleep:
                await trio.sleep_forever()
            self._sleep = trio.CancelScope()
            if self._turn is not None:
                activity, scope = self._turn
                self._sleep.deadline = trio.current_time() + INTERVAL
                self._try_touch()
                if activity.silent_for() >= self._silence_limit:
                    scope.cancel()

    def _try_touch(self) -> None:
        with suppress(OSError):  # a full disk is reported by the next commit
            self.touch()


@define(eq=False)
class TurnWatchdog:
    """Keeps the heartbeat going for its block, and cancels the block if the provider is silent too long."""

    _heartbeat: Heartbeat
    _activity: Activity
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    def __enter__(self) -> None:
        self._heartbeat.begin(self._activity, self._scope)
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._heartbeat.end()
        return self._scope.__exit__(kind, error, trace)


@asynccontextmanager
async def open_heartbeat(config: RunnerConfig, seams: Seams) -> AsyncGenerator[Heartbeat]:
    """Touch the file once and start the task. Raises OSError."""
    heartbeat = Heartbeat(config.heartbeat, seams, config.silence_limit)
    heartbeat.touch()
    async with background(heartbeat.run):
        yield heartbeat
