"""The recorder of one host: begins the recording, hands out seams with a tape beside them, and ends it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from pathlib import Path
from random import Random

import trio
from attrs import frozen

from actors import Ref
from nanoclaw.channels.protocol import Channel, has_buttons
from nanoclaw.config import Config
from nanoclaw.recording import redaction
from nanoclaw.recording.channels import TapedChannel, TapedIntake
from nanoclaw.recording.lines import STATE
from nanoclaw.recording.notes import FORMAT, Began, ChannelKind, Ended, Kept, Left, Stopping
from nanoclaw.recording.state import MAX_STATE, copy_state, left, sessions_of, size_of
from nanoclaw.recording.tape import Tape
from nanoclaw.recording.taps import TapedClock, TapedLooks, TapedRandom, TapedRuntime, TapedWords
from nanoclaw.records import Intake
from nanoclaw.registry import Registry
from nanoclaw.runtimes import Runtime
from nanoclaw.seams import Clock
from nanoclaw.store import Executor, Reader
from nanoclaw.store.connections import make_private_dir
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
)
"""Keys of the configuration that are recorded."""
LEFT_OUT = (
    "data",
    "groups",
    "sandbox.runtime",
    "log.level",
    "sandbox.process_providers",
    "runtime.command",
)
"""Those that are not: places, what may hold secrets, what a replay replaces."""
CLOSING_S = 10.0
"""How long the end of a recording may hold up the end of its host."""


class RecordingRefused(Exception):
    """No recording can be made there; the text says why and what to do."""


@frozen
class Record:
    """What `open_host` is given to record: a new or empty folder. `redacted`: without words."""

    folder: Path
    redacted: bool = False


@frozen(eq=False)
class Recorder:
    """Records one life of a host."""

    record: Record
    tape: Tape
    clock: Clock

    @classmethod
    async def begin(
        cls, record: Record, config: Config, channels: Sequence[Channel], executor: Executor, clock: Clock
    ) -> "Recorder":
        """Begin a recording.

        Raises:
            RecordingRefused: nothing can be recorded there, or the home is too large.
        """
        with _refusing(record.folder):
            await executor.run(partial(_prepare, record.folder, config))
        tape = Tape(record.folder, executor, redaction.redacted if record.redacted else redaction.whole)
        tape.note(
            Began(
                FORMAT,
                installed_version(),
                clock.now(),
                {key: attrgetter(key)(config) for key in KEPT},
                tuple(map(_kind, channels)),
                record.redacted,
            )
        )
        await tape.flush()
        if tape.stopped is not None:
            await tape.close()
            raise RecordingRefused(f"{record.folder}: nothing can be recorded there: {tape.stopped}")
        return cls(record, tape, clock)

    async def keep_state(self, config: Config, central: Reader, executor: Executor) -> None:
        """Copy the data as they are before the host does anything with them.

        Raises:
            RecordingRefused: there is no room for them.
            StoreError: they cannot be read.
        """
        into, redacted = self.record.folder / STATE, self.record.redacted
        with _refusing(self.record.folder):
            await copy_state(config.data, into, central, executor, redacted=redacted)
        self.tape.note(Kept())
        await self.tape.flush()

    # -- the seams

    def channels(self, channels: Mapping[str, Channel]) -> Mapping[str, Channel]:
        """The same, with the tape beside them."""
        return {name: TapedChannel(channel, self.tape) for name, channel in channels.items()}

    def taped_clock(self) -> Clock:
        """Likewise."""
        return TapedClock(self.clock, self.tape)

    def random(self, random: Random) -> Random:
        """Likewise."""
        return TapedRandom(random, self.tape)

    def runtime(self, runtime: Runtime) -> Runtime:
        """Likewise."""
        return TapedRuntime(runtime, self.tape, self.clock)

    def intake(self, intake: Intake) -> Intake:
        """Likewise, for the program in which the host is embedded."""
        return TapedIntake(intake, self.tape)

    def registry(self, registry: Ref[Registry]) -> Ref[Registry]:
        """Likewise."""
        return registry.heard_by(TapedWords(self.tape))

    def observer(self) -> TapedLooks:
        """Who is told of what runners say."""
        return TapedLooks(self.tape)

    # -- its end

    def stopping(self) -> None:
        """The host begins to stop."""
        self.tape.note(Stopping())

    async def end(self, data: Path, executor: Executor) -> None:
        """Note how the host left its sessions, and close; nobody writes them any more."""
        with trio.move_on_after(CLOSING_S) as scope:
            scope.shield = True
            for note in await executor.run(partial(self._left, data)):
                self.tape.note(note)
            self.tape.note(Ended())
            await self.tape.close()

    def _left(self, data: Path) -> list[Left]:
        dealt_with = [paths for paths in sessions_of(data) if paths.root.name in self.tape.sessions]
        return [note for paths in dealt_with if (note := left(paths)) is not None]


def _kind(channel: Channel) -> ChannelKind:
    return ChannelKind(channel.channel_type, channel.repeat, has_buttons(channel))


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordingRefused(
            f"{folder}: nothing can be recorded there: {error.strerror}; name another folder"
        ) from error


def _prepare(folder: Path, config: Config) -> None:
    data = config.data
    if any(folder.resolve().is_relative_to(place.resolve()) for place in (data, config.groups)):
        raise RecordingRefused(
            f"{folder}: it would lie among the data, or what agents can read; name another folder"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordingRefused(f"{folder}: a recording wants a folder that is new or empty")
    size = size_of(data)
    if size > MAX_STATE:
        raise RecordingRefused(
            f"{data} has databases of {size / 1e6:,.0f} MB, which a recording would begin with a copy of; it "
            f"takes up to {MAX_STATE / 1e6:,.0f} MB: record a home of its own, or "
            "prune ([retention] messages_s)"
        )
    make_private_dir(folder)
