"""Liveness, as an mtime (contract 1), and the watch over a provider that has fallen silent."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from math import inf
from pathlib import Path
from types import TracebackType

import trio
from attrs import define, field

from agent_runner.beside import beside
from agent_runner.config import RunnerConfig
from agent_runner.seams import Seams

INTERVAL = 10.0


def touch(path: Path, now: datetime) -> None:
    """Set the mtime from the clock (a simulation's runs ahead of the file system's). Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    os.utime(path, (now.timestamp(), now.timestamp()))


@define(eq=False)
class Pulse:
    """When a provider last gave a sign of life, on trio's clock. While one of its tools runs, it lives."""

    last: float = field(factory=trio.current_time)
    tools: int = 0

    def alive(self) -> None:
        """Note a sign of life."""
        self.last = trio.current_time()

    def silent_for(self) -> float:
        """Seconds without one."""
        return 0.0 if self.tools else trio.current_time() - self.last


@define(eq=False)
class Heart:
    """The one task of a runner that touches its heartbeat: every 10 s while a turn is open."""

    _file: Path
    _seams: Seams
    _silence_limit: float
    _turn: tuple[Pulse, trio.CancelScope] | None = field(default=None, init=False)
    """The open one."""
    _sleep: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    def touch(self) -> None:
        """Say that the runner lives. Raises OSError."""
        touch(self._file, self._seams.clock.now())

    def beats_for(self, pulse: Pulse) -> "Beats":
        """For one turn."""
        return Beats(self, pulse)

    def begin(self, pulse: Pulse, scope: trio.CancelScope) -> None:
        """A turn is open."""
        self._touch()
        self._turn = pulse, scope
        self._sleep.deadline = trio.current_time() + INTERVAL

    def end(self) -> None:
        """It is over."""
        self._turn = None
        self._sleep.deadline = inf

    async def beat(self) -> None:
        """The task."""
        while True:
            with self._sleep:
                await trio.sleep_forever()
            self._sleep = trio.CancelScope()
            if self._turn is not None:
                pulse, scope = self._turn
                self._sleep.deadline = trio.current_time() + INTERVAL
                self._touch()
                if pulse.silent_for() >= self._silence_limit:
                    scope.cancel()

    def _touch(self) -> None:
        with suppress(OSError):  # a full disk is told by the commit that meets it
            self.touch()


@define(eq=False)
class Beats:
    """While open the heart beats; once the provider has been silent for the limit, the block is cancelled."""

    _heart: Heart
    _pulse: Pulse
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    def __enter__(self) -> None:
        self._heart.begin(self._pulse, self._scope)
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._heart.end()
        return self._scope.__exit__(kind, error, trace)


@asynccontextmanager
async def hearts(config: RunnerConfig, seams: Seams) -> AsyncGenerator[Heart]:
    """The heart of a runner that starts. Raises OSError."""
    heart = Heart(config.heartbeat, seams, config.silence_limit)
    heart.touch()
    async with beside(heart.beat):
        yield heart
