"""One run of the host in a world: from its start until it is stopped, killed or fails."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio
from attrs import Factory, define, field

from nanoclaw.host import Host
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.kill_switch import Files, KillSwitch


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

    async def run(self, open_: Callable[[], AbstractAsyncContextManager[Host]]) -> None:
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
