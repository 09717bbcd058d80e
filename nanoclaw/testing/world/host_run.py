"""The runs of the host in a world: each lasts from its start until it is stopped, killed or fails."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio
from attrs import Factory, define, field

from nanoclaw.host import Host
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.kill_switch import Files, KillSwitch
from nanoclaw.testing.world.timeline import Timeline

Open = Callable[[], AbstractAsyncContextManager[Host]]


@define(eq=False)
class HostRun:
    """A host that runs as a task of its world."""

    data: Path
    switch: KillSwitch
    begun: trio.Event = Factory(trio.Event)
    ended: trio.Event = Factory(trio.Event)
    failure: Exception | None = None
    """The error that ended it, unless it was stopped or killed."""
    _host: Host | None = None
    _leaving: trio.Event = Factory(trio.Event)
    _scope: trio.CancelScope = Factory(trio.CancelScope)
    _files: Files | None = field(default=None, init=False)

    @property
    def host(self) -> Host:
        """The running host. Raises WorldError if it does not run."""
        if self.failure is not None:
            raise WorldError(f"the host failed: {self.failure}") from self.failure
        if self._host is None:
            raise WorldError("the host does not run: `await world.start()`")
        return self._host

    @property
    def killed(self) -> bool:
        """True if it was killed."""
        return self.switch.tripped

    async def run(self, open_: Open) -> None:
        """Run the host. If it fails, `failure` keeps the error."""
        try:
            with self._scope:
                async with open_() as self._host:
                    self.begun.set()
                    await self._leaving.wait()
        except Exception as error:  # noqa: BLE001 -- errors of a killed host are ignored; others are kept
            self.failure = None if self.killed else error
        finally:
            self._host = None
            if self._files is not None:
                self._files.put_back()
            self.begun.set()
            self.ended.set()

    async def stop(self) -> None:
        """Stop the host gracefully, and wait until it has ended."""
        self._leaving.set()
        await self.ended.wait()

    def kill(self) -> None:
        """Kill the host at once, synchronously. `ended` is set when its tasks have ended."""
        if not self.ended.is_set() and not self.killed:
            self._files = Files.of(self.data)
            self.switch.trip()
            self._scope.cancel()


@define(eq=False)
class HostRuns:
    """The runs of one world's host, one after the other."""

    timeline: Timeline
    last: HostRun | None = None
    """The run that was started last; None if it was stopped."""

    @property
    def host(self) -> Host:
        """The running host. Raises WorldError if none runs, or if it failed."""
        if self.last is None:
            raise WorldError("the host does not run: `await world.start()`")
        return self.last.host

    @property
    def lives(self) -> bool:
        """True if a host runs, starts or stops."""
        return self.last is not None and not self.last.ended.is_set()

    async def start(self, nursery: trio.Nursery, run: HostRun, open_: Open) -> Host:
        """Start a run as a task of the world. Raises the error of a host that cannot start."""
        self.last = run
        nursery.start_soon(run.run, open_)
        await run.begun.wait()
        if run.failure is not None:
            raise run.failure
        if not run.killed:  # killed at the moment it became ready
            self.timeline.add("host ready")
        return run.host

    async def stop(self) -> None:
        """Stop the host gracefully, if it runs. Raises the error of a host that had failed."""
        run, self.last = self.last, None
        if run is not None:
            await run.stop()
            self.timeline.add("host ended")
            if run.failure is not None:
                raise run.failure

    async def ended(self) -> Exception | None:
        """Wait until the host has ended for any reason; return the error that ended it, if any."""
        run = self.last
        if run is None:
            return None
        await run.ended.wait()
        return run.failure

    def kill(self) -> bool:
        """Kill the host at once. Return False if none runs."""
        run = self.last
        if run is None or run.ended.is_set():
            return False
        run.kill()
        return True

    def report(self) -> list[str]:
        """Return lines about a host that does not run."""
        if self.last is None:
            return ["no host runs: `await world.wire(chat)` starts it, and so does `await world.start()`"]
        return [] if self.last.failure is None else [f"the host: {self.last.failure!r}"]
