"""The runners of a recording: they write the recorded rows to `outbound.db` at the same moments."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from pathlib import Path

import trio
from attrs import Factory, define, evolve, field

from agent_runner.errors import RunnerError
from agent_runner.migrate import migrate
from agent_runner.store import Connection, Writer, open_outbound
from nanoclaw.recording.notes import FileMark, Looked, RunnerRefused
from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Death, Hindered, NothingLeft, NotNow, Runner, RunnerSpec, StartFailed
from nanoclaw.session.runner import STUCK_S
from nanoclaw.store import to_text
from nanoclaw.store.engine.names import is_component
from nanoclaw.system.resources import schema_dir
from nanoclaw.testing.replay.script import Moments, RunnerHistory, Script
from nanoclaw.testing.world.executor import InlineExecutor
from nanoclaw.testing.world.hot_journal import leave_hot_journal
from nanoclaw.testing.world.timeline import Timeline

BEAT_S = 10.0
MISSED_S = 0.001
EARLY_S = 60.0
"""Seconds. A runner that is asked to stop earlier than in the recording by more than this stops at once."""
GRACE_S = 1.5
LATE_S = 120.0
"""Seconds after its recorded end for which a runner waits to be stopped."""
MAX_FILE = 64 << 20
REPLAYED_TURN = "turn-replayed"
"""The turn of requests that were answered. Recordings do not have its id."""


@define(eq=False)
class ReplayRunner:
    """A runner that replays its recorded rows."""

    asked: trio.Event = Factory(trio.Event)
    cut: bool = False
    """True if it was stopped before its recorded end."""

    def stop(self) -> None:
        """Ask the runner to stop."""
        self.asked.set()


@define(eq=False)
class ReplayRuntime:
    """Starts recorded runners, one recorded run of a session after the other."""

    script: Script
    executor: InlineExecutor
    moments: Moments
    timeline: Timeline
    files: Mapping[str, tuple[FileMark, ...]]
    aside: Path
    """A folder for temporary files."""
    name: str = "replay"
    unknown: list[tuple[float, str]] = field(factory=list, init=False)
    """Sessions for which the host wanted a runner that is not recorded, and when."""

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run the session's next recorded runner.

        Raises:
            StartFailed: the recorded runner could not be started.
        """
        lives = self.script.lives.get(spec.session_id)
        life = lives.popleft() if lives else None
        if life is None:
            return await self._unknown(spec, task_status)
        await self.moments.sleep_until(life.refused[0] if life.refused else life.started_at or life.asked_at)
        if life.refused:
            raise _refusal(life.refused[1])
        runner = ReplayRunner()
        self.timeline.add("runner started", spec.session_id)
        task_status.started(runner)
        death = await self._live(spec.paths, life, runner)
        if life.hot and not runner.cut:
            leave_hot_journal(spec.paths.outbound_db, self.aside)
        self.timeline.add("runner ended", spec.session_id, death.reason.partition("\n")[0])
        return death

    async def _unknown(self, spec: RunnerSpec, task_status: "trio.TaskStatus[Runner]") -> Death:
        self.unknown.append((self.moments.now(), spec.session_id))
        self.timeline.add("runner started", spec.session_id, "not in the recording")
        runner = ReplayRunner()
        task_status.started(runner)
        await runner.asked.wait()
        return Death(orderly=True, reason="stopped")

    def refusal(self, _provider: str) -> str | None:
        """Return None: any provider is accepted."""
        return None

    async def survivors(self) -> Sequence[str]:
        """Return the recorded survivors.

        Raises:
            StartFailed: the recorded host could not list them.
        """
        await trio.lowlevel.checkpoint()
        if self.script.survivors.failed is not None:
            raise StartFailed(self.script.survivors.failed)
        return self.script.survivors.sessions

    async def recover(self, spec: RunnerSpec) -> None:
        """Roll back the journal that the recording began with, or that a runner left.

        Raises:
            StartFailed: the roll-back failed, now or in the recording.
        """
        recorded = self.script.recoveries.get(spec.session_id)
        at, failed = recorded.popleft() if recorded else (0.0, None)
        await self.moments.sleep_until(at)
        if failed is not None:
            raise StartFailed(failed)
        try:
            async with open_outbound(spec.paths.outbound_db, self.executor):
                pass
        except RunnerError as error:
            raise StartFailed(str(error)) from error

    # -- one recorded run

    async def _live(self, paths: SessionPaths, life: RunnerHistory, runner: ReplayRunner) -> Death:
        try:
            async with self._writer(paths) as writer, trio.open_nursery() as nursery:
                nursery.start_soon(self._beat, paths, life)
                with trio.CancelScope() as scope:
                    nursery.start_soon(self._cut_off, life, runner, scope)
                    await self._play(paths, writer, life)
                    await self._until_end(life, runner)
                nursery.cancel_scope.cancel()
        except* RunnerError as error:
            self.timeline.add("runner cannot play", life.session, str(error.exceptions[0]))
            await runner.asked.wait()
        if runner.cut or life.ended is None:
            return Death(orderly=True, reason="stopped")
        kind = Hindered if life.ended[1].hindered else Death
        return kind(life.ended[1].orderly, life.ended[1].reason)

    @asynccontextmanager
    async def _writer(self, paths: SessionPaths) -> AsyncIterator[Writer]:
        async with open_outbound(paths.outbound_db, self.executor) as writer:
            await migrate(writer, schema_dir())
            yield writer

    async def _play(self, paths: SessionPaths, writer: Writer, life: RunnerHistory) -> None:
        for at, look in life.looks:
            early = life.ended is not None and life.ended[0] < at
            await self.moments.sleep_until(life.ended[0] if life.ended and early else at)
            if early:  # what a dead runner had claimed was not given back, but judged
                await self.say(paths, writer, evolve(look, gone=()))
            else:
                self.moments.align(look.now)
                await self.say(paths, writer, look)

    async def _until_end(self, life: RunnerHistory, runner: ReplayRunner) -> None:
        at = inf if life.ended is None else life.ended[0]
        if life.stopping is not None:
            with trio.move_on_at(self.moments.origin + at + LATE_S):
                await runner.asked.wait()
        await self.moments.sleep_until(at)

    async def _cut_off(self, life: RunnerHistory, runner: ReplayRunner, scope: trio.CancelScope) -> None:
        """Stop before the recorded end if the host asks for it."""
        await runner.asked.wait()
        if life.stopping is None or self.moments.now() < life.stopping - EARLY_S:
            await trio.sleep(GRACE_S)
            runner.cut = True
            scope.cancel()

    async def _beat(self, paths: SessionPaths, life: RunnerHistory) -> None:
        """Touch the heartbeat until its last recorded moment."""
        last = _last_beat(life)
        while self.moments.now() < last:
            _touch(paths, self.moments)
            await self.moments.sleep_until(min(self.moments.now() + BEAT_S, last))
        _touch(paths, self.moments)

    # -- the rows of a runner

    async def say(self, paths: SessionPaths, writer: Writer, look: Looked) -> None:
        """Commit the rows that the host saw in one recorded look."""
        for row in look.rows:
            self._make_files(paths, row.id)
        await writer.write(partial(_commit, look=look))

    async def say_alone(self, paths: SessionPaths, look: Looked) -> None:
        """Write outbound rows without a living runner."""
        try:
            async with self._writer(paths) as writer:
                await self.say(paths, writer, look)
        except RunnerError as error:
            self.timeline.add("runner cannot play", look.session, str(error))

    def _make_files(self, paths: SessionPaths, row_id: str) -> None:
        make_files(paths, row_id, self.files.get(row_id, ()))


def _last_beat(life: RunnerHistory) -> float:
    """Return the moment of the last heartbeat. For an older recording return the latest possible one."""
    if life.stopping is None:
        return inf
    if life.silent_s is not None:
        return life.stopping - life.silent_s
    return life.stopping - max(STUCK_S, life.tool_timeout_s()) - MISSED_S if life.was_at_work() else inf


def make_files(paths: SessionPaths, row_id: str, marks: Sequence[FileMark]) -> None:
    """Make the files of a row with their recorded sizes and empty content."""
    for mark in marks:
        if is_component(row_id) and is_component(mark.name) and 0 <= mark.size <= MAX_FILE:
            folder = paths.outbox / row_id
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / mark.name).open("wb") as file:
                file.truncate(mark.size)


def _touch(paths: SessionPaths, moments: Moments) -> None:
    beat = int(moments.clock.now().timestamp() * 1e9)
    descriptor = os.open(paths.heartbeat, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    os.utime(paths.heartbeat, ns=(beat, beat))


def _commit(connection: Connection, look: Looked) -> None:
    now = to_text(look.now)
    for row in look.rows:
        connection.execute(
            """
            INSERT OR IGNORE INTO messages_out
              (id, seq, in_reply_to, timestamp, deliver_after, recurrence, kind, channel_type, platform_id,
               thread_id, content, turn_id)
            VALUES (:id, :seq, :in_reply_to, :now, :deliver_after, :recurrence, :kind, :channel_type,
              :platform_id, :thread_id, :content, :turn_id)
            """,
            {
                "id": row.id,
                "seq": row.seq,
                "in_reply_to": row.in_reply_to,
                "now": now,
                "deliver_after": row.deliver_after and to_text(row.deliver_after),
                "recurrence": row.recurrence,
                "kind": row.kind,
                "channel_type": row.address and row.address.channel_type,
                "platform_id": row.address and row.address.platform_id,
                "thread_id": row.address and row.address.thread_id,
                "content": row.content,
                "turn_id": REPLAYED_TURN if row.kind == "system" and row.awaited else None,
            },
        )
    _commit_bad(connection, look, now)
    _commit_acks(connection, look, now)


def _commit_bad(connection: Connection, look: Looked, now: str) -> None:
    """Rows that break the contract, if not as they did then: their ids are none."""
    for bad in look.bad:
        connection.execute(
            """
            INSERT OR IGNORE INTO messages_out (id, seq, timestamp, kind, content)
            VALUES (:id, :seq, :now, 'chat', '{}')
            """,
            {"id": f"bad-{bad.seq}", "seq": bad.seq, "now": now},
        )


def _commit_acks(connection: Connection, look: Looked, now: str) -> None:
    for ack in look.acks:
        connection.execute(
            """
            INSERT OR REPLACE INTO processing_ack
              (message_id, status, status_changed, attempt, retry_at, error)
            VALUES (:id, :status, :changed, :attempt, :retry_at, :error)
            """,
            {
                "id": ack.message_id,
                "status": ack.status,
                "changed": ack.changed or now,
                "attempt": ack.attempt,
                "retry_at": ack.retry_at and to_text(ack.retry_at),
                "error": ack.error,
            },
        )
    for id_ in look.gone:
        connection.execute(
            "DELETE FROM processing_ack WHERE message_id = :id AND status = 'processing'", {"id": id_}
        )
    connection.execute(
        """
        INSERT OR REPLACE INTO container_state (id, current_tool, tool_declared_timeout_ms)
        VALUES (1, NULL, :timeout)
        """,
        {"timeout": int(look.tool_timeout_s * 1000) or None},
    )


def _refusal(refused: RunnerRefused) -> StartFailed:
    """Return the recorded error of a start."""
    if not refused.for_now:
        return StartFailed(refused.reason)
    return NothingLeft(refused.reason) if refused.exhausted else NotNow(refused.reason)
