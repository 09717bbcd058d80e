"""The supervisor of a session's runner: starts it, stops it, reads its heartbeat, and reports its death.

It owns only the handle of the container. The session's core decides when to start a runner, and settles the
claims of a dead one first.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from contextvars import Context, copy_context
from pathlib import Path
from typing import TypeVar

import structlog
import trio
from attrs import Factory, define, frozen

from nanoclaw.runtimes import Death, Hindered, NothingLeft, NotNow, Runner, RunnerSpec, Runtime, StartFailed
from nanoclaw.session.events import PlaceAwaited, RecoveryEnded, RunnerEnded, RunnerStarted
from nanoclaw.session.shortage import Shortage
from nanoclaw.store import Exhausted, StoreUnavailable
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of, ungrouped

T = TypeVar("T")
Report = Callable[[PlaceAwaited | RunnerStarted | RunnerEnded | RecoveryEnded], None]
"""Called at once with each event of the runner."""

STOPPED = Death(orderly=True, reason="it was stopped before it started")

_log = structlog.get_logger()


@define(eq=False)
class RunnerSupervisor:
    """Supervises at most one runner."""

    runtime: Runtime
    nursery: trio.Nursery
    prepare: Callable[[], Awaitable[RunnerSpec]]
    """Writes the projections and returns the specification. Called at every start."""
    heartbeat_file: Path
    door: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Opens the runner's way to its model, for as long as it lives. `prepare` was called before."""
    shortage: Shortage = Factory(Shortage)
    place: Callable[[Callable[[bool], None]], AbstractAsyncContextManager[None]] = lambda _waits: (
        nullcontext()
    )
    """Holds a place among the running sandboxes. It calls its argument when it begins and ends to wait."""
    room: Callable[[RunnerSpec], AbstractAsyncContextManager[None]] = lambda _spec: nullcontext()
    """Waits until there is disk space, and watches it."""
    _runner: Runner | None = None
    _start: trio.CancelScope | None = None
    """The part of the start that a stop may cancel."""
    _context: Context = Factory(copy_context)
    """The session's context. A runner must not inherit that of the message that caused its start."""

    def start(self, report: Report) -> None:
        """Start or adopt a runner in a task of its own. The last runner must have ended."""
        self._context.run(self.nursery.start_soon, self._supervise, report)

    def stop(self) -> None:
        """Stop the runner if it is up, or end its wait for a place. The runtime kills it after its grace."""
        if self._runner is not None:
            self._runner.stop()
        elif self._start is not None:
            self._start.cancel()

    def recover(self, report: Report) -> None:
        """Have a runner roll back a hot journal, in a task of its own."""
        self._context.run(self.nursery.start_soon, self._recover, report)

    def heartbeat(self) -> int | None:
        """Return the modification time of the heartbeat file in nanoseconds, or None if it cannot be read.

        Only a change of this value counts, timed by the monotonic clock. Wall clocks jump at a suspend.
        """
        try:
            return os.lstat(self.heartbeat_file).st_mtime_ns
        except OSError:
            return None

    async def _supervise(self, report: Report) -> None:
        async with AsyncExitStack() as stack:
            place = self.place(lambda waits: report(PlaceAwaited(waits)))
            death = await self._started(report) if await self._entered(stack, place) else STOPPED
        self._runner = None
        report(RunnerEnded(death))

    async def _started(self, report: Report) -> Death:
        try:
            spec = await self.prepare()
            with ungrouped(StartFailed, StoreUnavailable):
                async with AsyncExitStack() as stack:
                    if not await self._entered(stack, self.room(spec)):
                        return STOPPED
                    await stack.enter_async_context(self.door())
                    return await self._run(spec, report)
        except (StartFailed, StoreUnavailable) as failed:
            return self._not_started(failed)

    async def _entered(self, stack: AsyncExitStack, waits: AbstractAsyncContextManager[None]) -> bool:
        """Enter a context that may wait for long. Return False if the start was stopped meanwhile."""
        with trio.CancelScope() as self._start:
            await stack.enter_async_context(waits)
        stopped, self._start = self._start.cancelled_caught, None
        return not stopped

    async def _run(self, spec: RunnerSpec, report: Report) -> Death:
        """Run the runner. Any error of the runtime is a death: its session must go on."""
        ended: list[object] = []

        async def run(*, task_status: trio.TaskStatus[Runner]) -> None:
            ended.append(await _asked(lambda: self.runtime.run(spec, task_status=task_status)))

        with ungrouped(StartFailed, StoreUnavailable):
            async with trio.open_nursery() as nursery:
                try:
                    runner: Runner = await nursery.start(run)
                except RuntimeError:  # trio's: `run` returned without reporting a runner
                    if not ended:
                        raise
                else:
                    self._runner = _Stoppable(runner, nursery.cancel_scope)
                    _log.info("session.runner_started", runtime=self.runtime.name, provider=spec.provider)
                    report(RunnerStarted())
        return _death(ended)

    async def _recover(self, report: Report) -> None:
        failure: str | None = None
        try:
            spec = await self.prepare()
            await _asked(lambda: self.runtime.recover(spec))
        except (StartFailed, StoreUnavailable) as error:
            failure = self._not_started(error).reason
        report(RecoveryEnded(failure))

    def _not_started(self, failed: Exception) -> Death:
        """Return the death of a failed start. If something is exhausted, others are asked to release it."""
        if isinstance(failed, NothingLeft | Exhausted):
            self.shortage.tell()
        if isinstance(failed, NotNow | StoreUnavailable):
            return Hindered(orderly=False, reason=str(failed))
        return Death(orderly=False, reason=str(failed))


@frozen
class _Stoppable:
    """A runner of a runtime that other people may have written."""

    runner: Runner
    scope: trio.CancelScope
    """The scope of `Runtime.run`. Its cancellation stops the runner, too."""

    def stop(self) -> None:
        """Ask the runner to go. If its `stop` fails, cancel `Runtime.run` instead."""
        try:
            with foreign_code():
                self.runner.stop()
        except ForeignError as error:
            _log.error("runtime.stop_failed", reason=str(error), now="cancelled", exc_info=error.error)
            self.scope.cancel()


async def _asked(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what a runtime returns. Raise StartFailed for any error: the text says what it raised."""
    try:
        with foreign_code(StartFailed):
            return await ask()
    except StartFailed as error:
        kind = next(kind for kind in (NothingLeft, NotNow, StartFailed) if isinstance(error, kind))
        raise kind(text_of(error)) from error
    except ForeignError as error:
        _log.error("runtime.failed", reason=str(error), exc_info=error.error)
        raise StartFailed(f"the runtime failed: {error}") from error


def _death(ended: Sequence[object]) -> Death:
    death = ended[0] if ended else None
    if isinstance(death, Death):
        return death
    return Death(orderly=False, reason="the runtime ended without reporting how the runner ended")
