"""The heartbeat file (contract 1), and the watchdog that ends the turn of a silent provider."""

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
    """Set the mtime from the clock seam, since a simulation has a clock of its own. Raises OSError."""
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
    """Touches the heartbeat file every 10 s while a turn is open, in one task of the runner."""

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
        """Start the heartbeat for a turn. `scope` is cancelled if the provider is silent for too long."""
        self._try_touch()
        self._turn = activity, scope
        self._sleep.deadline = trio.current_time() + INTERVAL

    def end(self) -> None:
        """Stop the heartbeat."""
        self._turn = None
        self._sleep.deadline = inf

    async def run(self) -> None:
        """Touch the file while turns are open, until cancelled."""
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
    """Runs the heartbeat for its block, and cancels the block if the provider is silent for too long."""

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
