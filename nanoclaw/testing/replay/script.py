"""A recording as a script for a replay, sorted by channel, runner and session."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.config import ConfigError, load_config
from nanoclaw.config.keys import current_name
from nanoclaw.recording import BadRecording, Recording, Taken
from nanoclaw.recording.notes import (
    Answered,
    Asked,
    Confirmed,
    Connected,
    Disconnected,
    Drew,
    Ended,
    FileMark,
    Jumped,
    Kept,
    Left,
    Looked,
    NotConfirmed,
    Note,
    Offered,
    Quarantined,
    ReceiverEnded,
    Recovered,
    RunnerAsked,
    RunnerEnded,
    RunnerRefused,
    RunnerStarted,
    RunnerStopping,
    Stopping,
    Survivors,
    Told,
)
from nanoclaw.recording.recorder import KEPT
from nanoclaw.testing.world.virtual_time import VirtualClock

APART_S = 1e-8
"""Distance in seconds of simultaneous notes: it keeps their order and is too small to change a date."""


@frozen
class Moments:
    """Maps the recording's moments to the replay's clock."""

    origin: float
    clock: VirtualClock

    async def sleep_until(self, at: float) -> None:
        """Wait until a moment of the recording; return at once if it has passed."""
        await trio.sleep_until(self.origin + at)

    def now(self) -> float:
        """Return the current moment of the recording."""
        return trio.current_time() - self.origin

    def align(self, date: datetime) -> None:
        """Set the date that the host saw then: due work and the slots of tasks depend on it.

        The wall clock runs a little faster or slower than trio's, and jumps before anybody is notified.
        """
        self.clock.epoch = date - timedelta(seconds=trio.current_time())


@define(eq=False)
class RunnerHistory:
    """A runner: when it was requested, its rows, and how it ended. A moment is None if it did not occur."""

    session: str
    asked_at: float
    started_at: float | None = None
    stopping: float | None = None
    silent_s: float | None = None
    """Age of the heartbeat in seconds when the runner was asked to stop, if known."""
    ended: tuple[float, RunnerEnded] | None = None
    refused: tuple[float, RunnerRefused] | None = None
    hot: bool = False
    """True if it left a journal that had to be rolled back."""
    looks: list[tuple[float, Looked]] = Factory(list)

    def was_at_work(self) -> bool:
        """Return whether the runner was working when it was asked to stop."""
        working = set[str]()
        for _, look in [(at, look) for at, look in self.looks if self.stopping and at <= self.stopping]:
            working -= {*look.gone, *(ack.message_id for ack in look.acks)}
            working |= {ack.message_id for ack in look.acks if ack.status == "processing"}
        return bool(working)

    def tool_timeout_s(self) -> float:
        """Return the longest tool timeout that the runner declared."""
        return max((look.tool_timeout_s for _, look in self.looks), default=0.0)


@define(eq=False)
class Connection:
    """One recorded opening of a channel's sending half."""

    at: float
    failed: str | None
    broken: tuple[float, str] | None = None


@define(eq=False)
class ChannelScript:
    """The script of one channel."""

    offers: deque[tuple[float, Offered]] = Factory(deque)
    ends: deque[tuple[float, str | None]] = Factory(deque)
    connections: deque[Connection] = Factory(deque)


@define(eq=False)
class Script:
    """A recording up to a moment."""

    channels: Mapping[str, ChannelScript]
    own: ChannelScript = Factory(ChannelScript)
    """Events that did not come through a channel."""
    asked: list[tuple[float, Asked]] = Factory(list)
    answers: dict[int, Answered] = Factory(dict)
    confirmed: dict[int, Confirmed | NotConfirmed] = Factory(dict)
    lives: dict[str, deque[RunnerHistory]] = Factory(dict)
    orphans: list[tuple[float, Looked]] = Factory(list)
    """Reads of runner files without a runner that the host had started."""
    recoveries: dict[str, deque[tuple[float, str | None]]] = Factory(dict)
    """For each session: when a recovery ended, and why it failed."""
    quarantined: list[tuple[float, Quarantined]] = Factory(list)
    jumps: list[tuple[float, Jumped]] = Factory(list)
    told: list[tuple[float, Told]] = Factory(list)
    ids: dict[str, deque[str]] = Factory(dict)
    """The drawn ids, by their purpose."""
    survivors: Survivors = Factory(Survivors)
    left: list[Left] = Factory(list)
    end: float = 0.0
    stopped_at: float | None = None
    """When the host began to stop; None if it was killed, or the replay ends before."""
    whole: bool = False
    """True if the recording is complete."""
    _runners: dict[int, RunnerHistory] = field(factory=dict)
    _last: dict[str, RunnerHistory] = field(factory=dict)

    def files(self) -> Mapping[str, tuple[FileMark, ...]]:
        """Return the files of messages, by the ids of their rows."""
        return {asked.key.partition("@")[0]: asked.files for _, asked in self.asked if asked.files}

    def older_files(self) -> Mapping[str, tuple[FileMark, ...]]:
        """Return the files of rows that no recorded runner wrote."""
        looks = [look for lives in self.lives.values() for life in lives for _, look in life.looks]
        come = {row.id for look in looks for row in look.rows}
        return {row: marks for row, marks in self.files().items() if row not in come}

    # -- built from notes

    def add(self, at: float, note: Note) -> None:
        """Add the next note."""
        self.end = at
        self._add_channels(at, note)
        self._add_runners(at, note)
        match note:
            case Drew():
                self.ids.setdefault(note.what, deque()).append(note.id)
            case Kept():  # ids drawn earlier are in the copy
                self.ids.clear()
            case Jumped():
                self.jumps.append((at, note))
            case Told():
                self.told.append((at, note))
            case Stopping():
                self.stopped_at = at
            case Left():
                self.left.append(note)
            case Ended():
                self.whole = True
            case _:
                pass

    def _add_channels(self, at: float, note: Note) -> None:
        match note:
            case Offered():
                self._channel(note.channel).offers.append((at, note))
            case Confirmed() | NotConfirmed():
                self.confirmed[note.n] = note
            case ReceiverEnded():
                self._channel(note.channel).ends.append((at, note.reason))
            case Connected():
                self._channel(note.channel).connections.append(Connection(at, note.failed))
            case Disconnected():
                self._disconnect(at, note)
            case Asked():
                self.asked.append((at, note))
            case Answered():
                self.answers[note.n] = note
            case _:
                pass

    def _add_runners(self, at: float, note: Note) -> None:
        match note:
            case RunnerAsked():
                life = self._runners[note.n] = self._last[note.session] = RunnerHistory(note.session, at)
                self.lives.setdefault(note.session, deque()).append(life)
            case RunnerStarted():
                self._life(note.n).started_at = at
            case RunnerStopping():
                life = self._life(note.n)
                if life.stopping is None:
                    life.stopping, life.silent_s = at, note.silent_s
            case RunnerEnded():
                self._life(note.n).ended = (at, note)
            case RunnerRefused():
                self._life(note.n).refused = (at, note)
            case Looked():
                last = self._last.get(note.session)
                (self.orphans if last is None else last.looks).append((at, note))
            case _:
                self._add_files(at, note)

    def _add_files(self, at: float, note: Note) -> None:
        match note:
            case Recovered():
                self._add_recovery(at, note)
            case Quarantined():
                self.quarantined.append((at, note))
            case Survivors():
                self.survivors = note
            case _:
                pass

    def _add_recovery(self, at: float, note: Recovered) -> None:
        self.recoveries.setdefault(note.session, deque()).append((at, note.failed))
        last = self._last.get(note.session)
        if last is not None and last.ended is not None:
            last.hot = True

    def sort_out(self) -> None:
        """Finish the script: looks during a failed start belong to another runner."""
        for life in (life for lives in self.lives.values() for life in lives if life.refused):
            self.orphans += life.looks
            life.looks = []
        self.orphans.sort(key=lambda said: said[0])

    def _channel(self, name: str | None) -> ChannelScript:
        if name is None:
            return self.own
        if name not in self.channels:
            raise BadRecording(f"it speaks of a channel {name!r} that its first line does not name")
        return self.channels[name]

    def _disconnect(self, at: float, note: Disconnected) -> None:
        connections = self._channel(note.channel).connections
        if connections:
            connections[-1].broken = (at - note.took_s, note.reason)

    def _life(self, n: int) -> RunnerHistory:
        if n not in self._runners:
            raise BadRecording(f"it names a runner {n} that was never requested")
        return self._runners[n]


def script_of(recording: Recording, until: float | None = None) -> Script:
    """Order a recording, of which the notes after `until` (seconds) do not count.

    Raises:
        BadRecording: its notes do not fit together.
    """
    if not any(isinstance(taken.note, Kept) for taken in recording.notes):
        raise BadRecording(
            f"{recording.folder}: the host ended before its data were copied; nothing can be replayed"
        )
    script = Script({kind.channel_type: ChannelScript() for kind in recording.began.channels})
    for at, note in _apart(recording.notes):
        if until is None or at <= until:
            script.add(at, note)
    script.sort_out()
    if until is not None:
        script.end = min(script.end, until)
    return script


def _apart(notes: Iterable[Taken]) -> Iterator[tuple[float, Note]]:
    """Yield the notes with their moments, all distinct."""
    last, rank = -1.0, 0
    for taken in notes:
        rank = rank + 1 if taken.at == last else 0
        last = taken.at
        yield taken.at + rank * APART_S, taken.note


def settings_of(recording: Recording, home: Path) -> dict[str, Any]:
    """Return the configuration, without the polling interval and keys that this NanoClaw does not know.

    Raises:
        BadRecording: it is not a valid configuration.
    """
    recorded = {current_name(key): value for key, value in recording.began.config.items()}
    kept: dict[str, Any] = {key: value for key, value in recorded.items() if key in KEPT}
    kept.pop("runtime.slow_poll_s", None)
    try:
        config = load_config(home=home, environ={}, defaults=kept)
    except ConfigError as error:
        raise BadRecording(f"its configuration cannot be used: {error}") from error
    return {key: attrgetter(key)(config) for key in kept}
