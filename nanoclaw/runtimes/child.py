"""A runner that is a child process: its lifeline, its stderr, and its end."""

import os
import signal
from typing import Generic, Protocol, TypeVar

import trio
from attrs import Factory, define

from nanoclaw.runtimes.protocol import Death, Runner
from nanoclaw.runtimes.stderr import StderrLog

DRAIN_S = 0.5
"""The longest wait for the rest of a dead runner's stderr. The runner's children may hold it open."""


class Child(Protocol):
    """A running child process, together with everything that it starts."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """The return code, as `subprocess` gives it, or None while the process runs."""
        ...

    @property
    def stderr(self) -> trio.abc.ReceiveStream | None:
        """The stderr of the process and its descendants."""
        ...

    async def wait(self) -> int:
        """Return the return code, once the process and its descendants are gone."""
        ...

    async def kill_all(self) -> None:
        """Kill the process and its descendants."""
        ...

    async def end(self) -> None:
        """Remove what is left of it. It is called when `wait` has returned."""
        ...


C = TypeVar("C", bound=Child)


@define(eq=False)
class ProcessRunner(Generic[C]):
    """A child process, the host's end of its lifeline, and its stderr."""

    process: C
    lifeline: int
    grace_s: float
    log: StderrLog
    asked: trio.Event = Factory(trio.Event)

    def stop(self) -> None:
        """Ask it to finish its commit and go; it is killed after the grace. Returns at once."""
        if not self.asked.is_set():
            self.asked.set()
            os.close(self.lifeline)

    async def live(self, task_status: trio.TaskStatus[Runner]) -> None:
        """Log its stderr until it is gone; on cancellation it is stopped first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain)
            try:
                task_status.started(self)
                await self._gone()
            finally:
                self.stop()
                with trio.CancelScope(shield=True):
                    await self._gone()
                    await self.process.end()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_S

    async def _drain(self) -> None:
        if self.process.stderr is not None:
            await self.log.drain(self.process.stderr)

    async def _gone(self) -> None:
        """Wait for its death, which the kernel reports at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._kill_after_grace)
            await self.process.wait()
            nursery.cancel_scope.cancel()

    async def _kill_after_grace(self) -> None:
        await self.asked.wait()
        await trio.sleep(self.grace_s)
        await self.process.kill_all()

    def death(self) -> Death:
        """Return how it ended. It must be gone."""
        code = self.process.returncode
        if code is not None and code < 0:
            how = f"the runner was killed by {_signal_name(-code)}"
        else:
            how = f"the runner ended with status {code}"
        return Death(orderly=code == 0, reason=self.log.explain(how, failed=bool(code)))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
