"""A runner in a container: its life from its start or adoption to its removal."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import trio
from attrs import Factory, define, frozen

from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import EngineError, NotThere
from nanoclaw.runtimes.docker.kept import KeptOutput
from nanoclaw.runtimes.docker.output import Output, followed
from nanoclaw.runtimes.docker.watch import Changes, Watch
from nanoclaw.runtimes.protocol import Death, Hindered, Runner
from nanoclaw.runtimes.stderr import StderrLog

DRAIN_S = 0.5
"""The longest wait for the rest of a dead container's output."""
AGAIN_S = 1.0
"""Delay before a container is killed again that did not end, or whose engine did not answer."""
GIVE_UP_S = 4.0
"""Seconds beyond the grace after which a host that stops leaves a container to its lifeline."""
BEATS = 10
"""How often the lifeline is touched in the time after which a runner ends without it."""
KILLED, TERMINATED = 137, 143
OUT_OF_MEMORY = (
    "the runner's container ran out of memory; raise [sandbox] memory, or limits.memory of the agent's "
    "container.json"
)

_log = structlog.get_logger()


@frozen
class End:
    """The end of a container, as its engine tells it."""

    code: int | None
    """Its exit code. None if the engine does not know the container any more."""
    out_of_memory: bool = False
    error: str = ""
    """What the engine says went wrong."""


@define(eq=False)
class ContainerRunner:
    """A living container, and what its host does for it."""

    container_id: str
    session_id: str
    engine: Engine
    watch: Watch
    changes: Changes
    lifeline: Path
    lifeline_s: float
    grace_s: float
    log: StderrLog
    kept: KeptOutput
    adopted: bool
    """True if it outlived its last host, which has logged what it had written until then."""
    host_is_dead: bool = False
    """True only in tests: its tasks end without a trace, as those of a killed host."""
    _asked: trio.Event = Factory(trio.Event)
    _losses: int = Factory(lambda self: self.watch.losses, takes_self=True)
    ended: trio.Event = Factory(trio.Event)
    """Set once the container is known to be gone."""
    _end: End | None = None

    def stop(self) -> None:
        """Ask it to finish its commit and go; it is killed after the grace. Returns at once."""
        self._asked.set()

    async def live(self, task_status: trio.TaskStatus[Runner]) -> Death:
        """Follow it until it is gone; on cancellation it is stopped first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_output)
            nursery.start_soon(self._hold_lifeline)
            try:
                task_status.started(self)
                await self._gone()
            finally:
                await self._wind_up()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_S
        return await self._death()

    async def _wind_up(self) -> None:
        """Make sure that the container is gone. An engine that hangs does not hold up the host."""
        if self.host_is_dead:
            return
        self.stop()
        with trio.move_on_after(self.grace_s + GIVE_UP_S, shield=True) as scope:
            if self._end is None:
                await self._gone()
            await self._remove()
        if scope.cancelled_caught:
            _log.warning(
                "runtime.left_behind", session=self.session_id, reason="its container engine does not answer"
            )

    # -- its end

    async def _gone(self) -> None:
        """Wait for its end, and end it once that is asked for."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_asked)
            while (end := await self._ended()) is None:
                await self.changes.wait()
            self._end = end
            self.ended.set()
            nursery.cancel_scope.cancel()

    async def _ended(self) -> End | None:
        """Return its end, or None if it runs, or the engine does not tell now."""
        try:
            found = await self.engine.call(lambda api: api.inspect_container(self.container_id))
        except NotThere:
            return End(None)
        except EngineError as error:
            self.watch.doubt(error)
            return None
        state: dict[str, Any] = found["State"]
        if state.get("Running") or state.get("Status") in ("created", "restarting"):
            return None
        return End(state.get("ExitCode"), bool(state.get("OOMKilled")), str(state.get("Error") or ""))

    async def _end_when_asked(self) -> None:
        await self._asked.wait()
        drop_lifeline(self.lifeline)  # so that it ends even if the engine does nothing
        await self._signal("SIGTERM")
        await trio.sleep(self.grace_s)
        while True:
            await self._signal("SIGKILL")
            self.changes.tell()
            await trio.sleep(AGAIN_S)

    async def _signal(self, name: str) -> None:
        try:
            await self.engine.call(lambda api: api.kill(self.container_id, name), self.grace_s + GIVE_UP_S)
        except EngineError as error:  # it is gone, or the engine is: both are found out elsewhere
            self.watch.doubt(error)

    async def _remove(self) -> None:
        await self.kept.keep(self.session_id, self.container_id)
        with suppress(EngineError):  # the next start, or the next look for remains, removes it
            await self.engine.call(lambda api: api.remove_container(self.container_id, v=True, force=True))

    async def _death(self) -> Death:
        end = self._end or End(None)
        how = self._how(end)
        if end.code != 0 and not end.out_of_memory and await self._engine_failed(end):
            return Hindered(orderly=False, reason=f"the container engine was stopped or restarted ({how})")
        return Death(orderly=end.code == 0, reason=self.log.explain(how, failed=bool(end.code)))

    def _how(self, end: End) -> str:
        if end.out_of_memory:
            return OUT_OF_MEMORY
        if end.code is None:
            return "the runner's container was removed"
        if end.code in (KILLED, TERMINATED):
            return f"the runner's container was killed by {'SIGKILL' if end.code == KILLED else 'SIGTERM'}"
        return f"the runner ended with status {end.code}{f': {end.error}' if end.error else ''}"

    async def _engine_failed(self, end: End) -> bool:
        """Return True if a death without a cause of its own may be the engine's doing."""
        if end.code not in (None, KILLED, TERMINATED, 255):
            return False
        if self.watch.losses != self._losses or not self.watch.state.ready:
            return True
        try:
            await self.engine.call(lambda api: api.ping())
        except EngineError as error:
            self.watch.doubt(error)
            return True
        return False

    # -- its lifeline and its output

    async def _hold_lifeline(self) -> None:
        """Show the container that its host lives."""
        while True:
            await trio.sleep(self.lifeline_s / BEATS)
            if not self._asked.is_set():
                hold_lifeline(self.lifeline)

    async def _follow_output(self) -> None:
        """Log its output. After a loss of the engine, only what comes later is logged."""
        whole = not self.adopted
        while True:
            with suppress(EngineError):
                async with self.engine.stream(followed(self.container_id, whole=whole)) as pieces:
                    await self.log.drain(Output(pieces))
                return
            whole = False
            await trio.sleep(AGAIN_S)


def hold_lifeline(path: Path) -> None:
    """Create the lifeline, or change its modification time."""
    with suppress(OSError):
        path.touch(mode=0o644)


def drop_lifeline(path: Path) -> None:
    """Remove the lifeline, which ends the container without its engine."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
