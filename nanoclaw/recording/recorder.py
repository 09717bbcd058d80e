"""The recorder of one host: begins the recording, wraps the seams, and ends it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from pathlib import Path
from random import Random

import trio
from attrs import asdict, frozen

from actors import Ref
from nanoclaw.channels.protocol import Channel, capabilities_of
from nanoclaw.config import Config
from nanoclaw.config.costs import NO_BUDGETS
from nanoclaw.recording import redaction
from nanoclaw.recording.channels import RecordedChannel, RecordedIntake
from nanoclaw.recording.lines import STATE
from nanoclaw.recording.notes import FORMAT, Began, ChannelKind, Ended, Kept, Left, Stopping
from nanoclaw.recording.seams import (
    RecordedClock,
    RecordedLooks,
    RecordedRandom,
    RecordedRequests,
    RecordedRuntime,
)
from nanoclaw.recording.state import MAX_STATE, copy_state, left, sessions_of, size_of
from nanoclaw.recording.writer import RecordingWriter
from nanoclaw.records import Intake
from nanoclaw.registry import Registry
from nanoclaw.runtimes import Runtime
from nanoclaw.store import Executor, Reader
from nanoclaw.store.engine.connections import make_private_dir
from nanoclaw.system.clock import Clock
from nanoclaw.version import installed_version

KEPT = (
    "model.provider",
    "timezone",
    "prompt.assistant_name",
    "retry.base_s",
    "retry.max_tries",
    "delivery.backoff_s",
    "runtime.backoff_s",
    "runtime.idle_s",
    "runtime.stop_grace_s",
    "runtime.slow_poll_s",
    "retention.acks_s",
    "retention.files_s",
    "retention.messages_s",
    "approvals.expire_s",
    "approvals.held_messages",
    "approvals.held_s",
    "agents.max_hops",
    "agents.max_a_minute",
    "agents.max_created_a_day",
    *NO_BUDGETS,
)
"""Keys of the configuration that are recorded."""
LEFT_OUT = (
    "data",
    "groups",
    "model.name",
    "model.base_url",
    "model.key",
    "model.max_tokens",
    "model.timeout_s",
    "model.fallback",
    "runtime.max_turn_steps",
    "sandbox.runtime",
    "log.level",
    "sandbox.process_providers",
    "sandbox.network",
    "sandbox.memory",
    "sandbox.processes",
    "sandbox.cpus",
    "sandbox.disk",
    "sandbox.disk_reserve",
    "sandbox.max_running",
    "sandbox.mount_allowlist",
    "runtime.command",
    "runtime.pass_env",
)
"""Keys that are not recorded: paths, possible secrets, and values that a replay replaces."""
CLOSING_S = 10.0
"""Seconds for which the end of a recording may hold up the end of its host."""


class RecordingRefused(Exception):
    """The folder cannot take a recording. The text says why and what to do."""


@frozen
class Record:
    """The request to record a host."""

    folder: Path
    """A new or empty folder."""
    redacted: bool = False
    """True to leave out all texts."""


@frozen(eq=False)
class Recorder:
    """Records one run of a host."""

    record: Record
    writer: RecordingWriter
    clock: Clock

    @classmethod
    async def begin(
        cls, record: Record, config: Config, channels: Sequence[Channel], executor: Executor, clock: Clock
    ) -> "Recorder":
        """Begin a recording.

        Raises:
            RecordingRefused: the folder is unsuitable, or the databases are too large.
        """
        with _refusing(record.folder):
            await executor.run(partial(_prepare, record.folder, config))
        writer = RecordingWriter(
            record.folder, executor, redaction.redacted if record.redacted else redaction.whole
        )
        writer.note(
            Began(
                FORMAT,
                installed_version(),
                clock.now(),
                {key: attrgetter(key)(config) for key in KEPT},
                tuple(map(_kind, channels)),
                record.redacted,
            )
        )
        await writer.flush()
        if writer.stopped is not None:
            await writer.close()
            raise RecordingRefused(f"{record.folder}: nothing can be recorded there: {writer.stopped}")
        return cls(record, writer, clock)

    async def keep_state(self, config: Config, central: Reader, executor: Executor) -> None:
        """Copy the data before the host changes them.

        Raises:
            RecordingRefused: the copy cannot be written.
            StoreError: the data cannot be read.
        """
        into, redacted = self.record.folder / STATE, self.record.redacted
        with _refusing(self.record.folder):
            await copy_state(config.data, into, central, executor, redacted=redacted)
        self.writer.note(Kept())
        await self.writer.flush()

    # -- the seams

    def channels(self, channels: Mapping[str, Channel]) -> Mapping[str, Channel]:
        """Return the channels, wrapped for recording."""
        return {name: RecordedChannel(channel, self.writer) for name, channel in channels.items()}

    def recorded_clock(self) -> Clock:
        """Return the clock, wrapped for recording."""
        return RecordedClock(self.clock, self.writer)

    def random(self, random: Random) -> Random:
        """Return the randomness, wrapped for recording."""
        return RecordedRandom(random, self.writer)

    def runtime(self, runtime: Runtime) -> Runtime:
        """Return the runtime, wrapped for recording."""
        return RecordedRuntime(runtime, self.writer, self.clock)

    def intake(self, intake: Intake) -> Intake:
        """Return the intake of the embedding program, wrapped for recording."""
        return RecordedIntake(intake, self.writer)

    def registry(self, registry: Ref[Registry]) -> Ref[Registry]:
        """Return the registry's ref, wrapped for recording."""
        return registry.observed_by(RecordedRequests(self.writer))

    def observer(self) -> RecordedLooks:
        """Return the observer that records looks."""
        return RecordedLooks(self.writer)

    # -- its end

    def stopping(self) -> None:
        """Note that the host begins to stop."""
        self.writer.note(Stopping())

    async def end(self, data: Path, executor: Executor) -> None:
        """Note the final state of the sessions, and close. All sessions must have stopped."""
        with trio.move_on_after(CLOSING_S) as scope:
            scope.shield = True
            for note in await executor.run(partial(self._left, data)):
                self.writer.note(note)
            self.writer.note(Ended())
            await self.writer.close()

    def _left(self, data: Path) -> list[Left]:
        touched = [paths for paths in sessions_of(data) if paths.root.name in self.writer.sessions]
        return [note for paths in touched if (note := left(paths)) is not None]


def _kind(channel: Channel) -> ChannelKind:
    can = capabilities_of(channel)
    return ChannelKind(channel.channel_type, **asdict(can))


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordingRefused(
            f"{folder}: cannot be written: {error.strerror}; name another folder"
        ) from error


def _prepare(folder: Path, config: Config) -> None:
    data = config.data
    if any(folder.resolve().is_relative_to(place.resolve()) for place in (data, config.groups)):
        raise RecordingRefused(
            f"{folder}: it is inside the data or groups directory, which agents can read; name another folder"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordingRefused(f"{folder}: it is not empty; name a new or an empty folder")
    size = size_of(data)
    if size > MAX_STATE:
        raise RecordingRefused(
            f"{data}: its databases have {size / 1e6:,.0f} MB, and a recording would copy them; the limit is "
            f"{MAX_STATE / 1e6:,.0f} MB: record a separate home, or prune this one ([retention] messages_s)"
        )
    make_private_dir(folder)
