"""Wrappers of a host's seams that record their input."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, field, frozen

from nanoclaw.recording.lines import JSON
from nanoclaw.recording.notes import (
    Drew,
    Jumped,
    Looked,
    Quarantined,
    Recovered,
    RunnerAsked,
    RunnerEnded,
    RunnerRefused,
    RunnerStarted,
    RunnerStopping,
    Survivors,
    Told,
)
from nanoclaw.recording.writer import RecordingWriter
from nanoclaw.runtimes import (
    Death,
    Hindered,
    NothingLeft,
    NotNow,
    Runner,
    RunnerSpec,
    RuntimeWrapper,
    StartFailed,
)
from nanoclaw.store.session.outbound import Ack, InvalidRow, Look, MessageOut
from nanoclaw.system.clock import Clock, lead
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of
from nanoclaw.system.ids import Naming, random_name

# -- clock and randomness ------------------------------------------------------


@frozen
class RecordedClock:
    """Notes jumps of the date."""

    clock: Clock
    writer: RecordingWriter

    def now(self) -> datetime:
        """Return the wrapped clock's time."""
        return self.clock.now()

    async def jumped(self) -> None:
        """Wait for a jump of the wrapped clock, and note it."""
        before = lead(self.clock)
        await self.clock.jumped()
        by_s = round(lead(self.clock) - before, 6)
        self.writer.jumps.append((trio.current_time(), by_s))
        self.writer.note(Jumped(by_s, self.clock.now()))


class RecordedRandom(Naming):
    """Notes drawn ids. It does not note random delays."""

    def __init__(self, random: Random, writer: RecordingWriter) -> None:
        self._inner = random
        self._writer = writer
        super().__init__()

    def seed(self, *_arguments: Any, **_named: Any) -> None:
        """Do nothing: the wrapped source is seeded already."""

    def random(self) -> float:
        """Draw from the wrapped source."""
        return self._inner.random()

    def getrandbits(self, k: int, /) -> int:
        """Draw from the wrapped source."""
        return self._inner.getrandbits(k)

    def name(self, what: str) -> str:
        """Draw a name from the wrapped source, and note it."""
        drawn = random_name(self._inner)
        self._writer.note(Drew(drawn, what))
        return drawn


# -- runners -------------------------------------------------------------------


@frozen
class _RecordedRunner:
    runner: Runner
    n: int
    writer: RecordingWriter
    clock: Clock
    heartbeat: Path

    def stop(self) -> None:
        self.writer.note(RunnerStopping(self.n, self._silent_s()))
        self.runner.stop()

    def _silent_s(self) -> float | None:
        try:
            silent_s = self.clock.now().timestamp() - os.lstat(self.heartbeat).st_mtime
        except OSError:
            return None
        now = trio.current_time()
        for at, by_s in reversed(self.writer.jumps):
            if not 0 <= silent_s <= now - at:  # it moved before that jump
                silent_s -= by_s
        return round(silent_s, 6) if silent_s >= 0 else None


@define(eq=False)
class _Start:
    """Notes that a runner has started, and passes it on."""

    status: "trio.TaskStatus[Runner]"
    n: int
    writer: RecordingWriter
    clock: Clock
    heartbeat: Path
    made: bool = False

    def started(self, runner: Runner) -> None:
        self.made = True
        self.writer.note(RunnerStarted(self.n))
        self.status.started(_RecordedRunner(runner, self.n, self.writer, self.clock, self.heartbeat))


@define(eq=False)
class RecordedRuntime(RuntimeWrapper):
    """Notes starts and ends of runners."""

    writer: RecordingWriter
    clock: Clock

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run a runner with the wrapped runtime."""
        n = next(self.writer.numbers)
        self.writer.sessions.add(spec.session_id)
        self.writer.note(RunnerAsked(n, spec.session_id, spec.provider))
        status: Any = _Start(task_status, n, self.writer, self.clock, spec.paths.heartbeat)
        try:
            with foreign_code(StartFailed):
                death = await self.runtime.run(spec, task_status=status)
        except (StartFailed, ForeignError) as error:
            reason = text_of(error)
            self.writer.note(
                RunnerEnded(n, orderly=False, reason=reason)
                if status.made
                else RunnerRefused(
                    n,
                    reason,
                    for_now=isinstance(error, NotNow),
                    exhausted=isinstance(error, NothingLeft),
                )
            )
            raise
        except BaseException as error:
            self.writer.note(
                RunnerEnded(n, orderly=True, reason=f"given up by the host: {type(error).__name__}")
            )
            raise
        if isinstance(death, Death):
            self.writer.note(RunnerEnded(n, death.orderly, death.reason, isinstance(death, Hindered)))
        return death

    async def survivors(self) -> Sequence[str]:
        """Return the wrapped runtime's survivors, and note them."""
        try:
            with foreign_code(StartFailed):
                found = tuple(await self.runtime.survivors())
        except (StartFailed, ForeignError) as error:
            self.writer.note(Survivors(failed=text_of(error)))
            raise
        self.writer.note(Survivors(found))
        return found

    async def recover(self, spec: RunnerSpec) -> None:
        """Recover with the wrapped runtime, and note the result."""
        try:
            with foreign_code(StartFailed):
                await self.runtime.recover(spec)
        except (StartFailed, ForeignError) as error:
            self.writer.note(Recovered(spec.session_id, text_of(error)))
            raise
        self.writer.note(Recovered(spec.session_id))


# -- looks, and requests to the registry from outside ------------------------------


@define(eq=False)
class _Seen:
    acks: dict[str, Ack] = field(factory=dict)
    tool_timeout_s: float = 0.0


@define(eq=False)
class RecordedLooks:
    """Notes what is new in each look. Implements `nanoclaw.session.Observer`."""

    writer: RecordingWriter
    _seen: dict[str, _Seen] = field(factory=dict)

    def looked(self, session_id: str, look: Look, now: datetime) -> None:
        """Note everything that the last look did not contain."""
        before = self._seen.setdefault(session_id, _Seen())
        acks = {ack.message_id: ack for ack in look.acks}
        new = tuple(ack for ack in acks.values() if before.acks.get(ack.message_id) != ack)
        gone = tuple(
            id_ for id_, ack in before.acks.items() if ack.status == "processing" and id_ not in acks
        )
        if look.rows or new or gone or look.tool_timeout_s != before.tool_timeout_s:
            rows = tuple(row for row in look.rows if isinstance(row, MessageOut))
            bad = tuple(row for row in look.rows if isinstance(row, InvalidRow))
            self.writer.note(Looked(session_id, now, rows, bad, new, gone, look.tool_timeout_s))
        self.writer.sessions.add(session_id)
        self._seen[session_id] = _Seen(acks, look.tool_timeout_s)

    def quarantined(self, session_id: str, reason: str) -> None:
        """Note a quarantine."""
        self.writer.note(Quarantined(session_id, reason))


@frozen
class RecordedRequests:
    """Notes requests to the registry from outside the host."""

    writer: RecordingWriter

    def __call__(self, message: object) -> None:
        """Note a request."""
        self.writer.note(Told(type(message).__name__, JSON.unstructure(message)))
