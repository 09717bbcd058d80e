"""What answers while the first image is being built: `bubblewrap` where it works, else chat tools alone.

This is no downgrade: it ends once there is an image, and later a missing engine or image makes sessions wait.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import trio
from attrs import evolve, frozen

from nanoclaw.config import ConfigError
from nanoclaw.config.entry_points import load
from nanoclaw.runtimes.factory import GROUP, RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.protocol import (
    Limits,
    Packages,
    ReportsState,
    Runner,
    RunnerSpec,
    Runtime,
    StartFailed,
    isolates,
)

CANDIDATES = ("bubblewrap", "process")


def other_runtimes(context: RuntimeContext) -> Sequence[Runtime]:
    """Return the runtimes that may answer meanwhile, the best one first."""
    return tuple(_made(context))


def _made(context: RuntimeContext) -> Iterator[Runtime]:
    for name in CANDIDATES:
        with suppress(ConfigError):
            factory = load(GROUP, name, RuntimeFactory, where=name)
            yield factory.make(factory.config(), evolve(context, name=name))


async def working(others: Sequence[Runtime]) -> Runtime | None:
    """Return the first runtime that works on this machine now, if one does."""
    for other in others:
        if not isinstance(other, ReportsState):
            return other
        with suppress(StartFailed):
            await other.survivors()  # it has none, and tries the machine
        if other.state.ready:
            return other
    return None


def for_another(other: Runtime, spec: RunnerSpec) -> RunnerSpec:
    """Return a specification without what only an image, or only a sandbox, can honour."""
    if isolates(other):
        return evolve(spec, image=None, packages=evolve(spec.packages, apt=()))
    return evolve(
        spec, image=None, mounts=(), limits=Limits(), network=None, packages=Packages(), web=False, user=None
    )


@frozen
class StopAfter(trio.TaskStatus[Runner]):
    """Passes a started runner on, and stops it at an event."""

    task_status: trio.TaskStatus[Runner]
    nursery: trio.Nursery
    event: trio.Event

    def started(self, value: Runner) -> None:
        """Report the runner as started."""
        self.nursery.start_soon(self._stop, value)
        self.task_status.started(value)

    async def _stop(self, runner: Runner) -> None:
        await self.event.wait()
        runner.stop()
