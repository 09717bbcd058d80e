"""Replay: runs the host again on recorded events, in virtual time (docs/simulation.md).

The input is replayed: events, answers of channels, starts, outbound rows and ends of runners, jumps of the
clock, drawn ids, requests to the registry. The host's output is computed anew and compared.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import cattrs
import trio
from attrs import Factory, define, evolve, fields_dict, frozen
from trio.testing import MockClock

import nanoclaw.registry
from actors import ActorError, Ref, Refusal
from nanoclaw.host import HostFailed, Seams
from nanoclaw.recording import BadRecording, Recording, read
from nanoclaw.recording.lines import JSON, STATE
from nanoclaw.recording.notes import Looked, Quarantined, Told
from nanoclaw.recording.state import left, sessions_of
from nanoclaw.records import SessionPaths
from nanoclaw.registry import Registry
from nanoclaw.store import StoreError, StoreUnavailable
from nanoclaw.system.ids import Naming, random_name
from nanoclaw.testing.replay.channel import Answers, Happened, ReplayChannel, offer_all
from nanoclaw.testing.replay.differences import differences, of_left
from nanoclaw.testing.replay.runtime import ReplayRuntime, make_files
from nanoclaw.testing.replay.script import Moments, Script, script_of, settings_of
from nanoclaw.testing.world.folders import temporary_home
from nanoclaw.testing.world.world import World

CENTRAL = "v2.db"
NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
"""The last bytes of a journal that names a super-journal. A rollback deletes that file (contract 6)."""
AFTER_S = 1.0
"""Seconds after the last note until which a killed host is replayed."""


@frozen
class Replayed:
    """The result of a replay."""

    timeline: Sequence[str]
    differences: Sequence[str]
    torn: bool
    """True if the recording has no end: its host was killed, or its last line was cut off."""


def replay(folder: Path, *, until: float | None = None) -> Replayed:
    """Replay a recording, up to a moment in seconds. It calls `trio.run`.

    Raises:
        BadRecording: it cannot be read, or does not fit together.
    """
    recording = read(folder)
    script = script_of(recording, until)
    with temporary_home() as home:
        _copy_state(folder / STATE, home / "data")
        _make_older_files(home / "data", script)
        play = _Replay(folder, recording, script, home, settings_of(recording, home))
        try:
            trio.run(play.run, clock=MockClock(autojump_threshold=0))
        except BaseExceptionGroup as group:
            plain = (each for each in _leaves(group) if isinstance(each, BadRecording | KeyboardInterrupt))
            raise next(plain, group) from None
        found = [*play.failed, *_differences(play)]
        lines = [line.replace(str(home), "<home>") for line in play.timeline]
        return Replayed(lines, [each.replace(str(home), "<home>") for each in found], not script.whole)


def _copy_state(source: Path, target: Path) -> None:
    """Copy the databases of an untrusted recording. Links and other irregular files are left out.

    Raises:
        BadRecording: a database cannot be read, or is not a regular file.
    """
    if source.is_symlink():
        raise BadRecording(f"{source}: it is a link; copy the whole folder")
    for folder, _, names in os.walk(source):
        for name in names:
            file = Path(folder) / name
            if stat.S_ISREG(file.lstat().st_mode):
                copy = target / file.relative_to(source)
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                copy.write_bytes(_content(file))
    if not (target / CENTRAL).exists():
        raise BadRecording(f"{source / CENTRAL}: it is missing, or no plain file; copy the whole folder")


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadRecording(f"{file}: cannot be read: {error.strerror}") from error
    if content.endswith(NAMES_ANOTHER):
        raise BadRecording(f"{file}: it is a journal that names another file, which SQLite would delete")
    return content


def _make_older_files(data: Path, script: Script) -> None:
    """Give these files to every session, because a recording does not name their session."""
    for paths in sessions_of(data):
        for row_id, marks in script.older_files().items():
            make_files(paths, row_id, marks)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, HostFailed | ActorError) and error.__cause__ is not None:
        error = error.__cause__
    return error


class RecordedRandom(Naming):
    """Draws recorded ids, each for its recorded purpose, and everything else from a seed."""

    def __init__(self, script: Script) -> None:
        super().__init__(0)
        self._ids = script.ids

    def name(self, what: str) -> str:
        """Draw the recorded id for a purpose, or the next one if the recording has no purposes."""
        drawn = self._ids.get(what) or self._ids.get("")
        return drawn.popleft() if drawn else random_name(self)


@define(eq=False)
class _Replay:
    """One replay."""

    folder: Path
    recording: Recording
    script: Script
    home: Path
    settings: Mapping[str, Any]
    happened: Happened = Factory(Happened)
    timeline: list[str] = Factory(list)
    failed: list[str] = Factory(list)
    unknown: list[tuple[float, str]] = Factory(list)

    async def run(self) -> None:
        async with World(folder=self.home, settings=self.settings, seams=self._seams) as world:
            self.timeline = world.timeline.lines
            world.clock.epoch = self.recording.began.date - timedelta(seconds=trio.current_time())
            moments = Moments(trio.current_time(), world.clock)
            files, aside = self.script.files(), self.home / "aside.db"
            runtime = ReplayRuntime(self.script, world.executor, moments, world.timeline, files, aside)
            try:
                channels = self._channels(moments, world)
                await self._start(world, runtime, channels)
                await self._play(moments, world, runtime, channels)
                await world.stop()
            except HostFailed as error:
                self.failed.append(f"the host failed: {error}")
            self.unknown = runtime.unknown

    async def _start(self, world: World, runtime: ReplayRuntime, channels: Sequence[ReplayChannel]) -> None:
        try:
            await world.start(channels=channels, runtime=runtime)
        except HostFailed as error:
            with suppress(HostFailed):  # replay the same recording a second time
                await world.stop()
            cause = _cause(error)
            if isinstance(cause, StoreError) and not isinstance(cause, StoreUnavailable):
                raise BadRecording(self._unusable(cause)) from error  # the recorded host ran on it
            raise

    def _unusable(self, error: StoreError) -> str:
        what, _, _ = str(error).replace(str(self.home / "data"), str(self.folder / STATE)).partition("; ")
        return f"{what}; no host starts on it, so the recording is damaged or a newer one's"

    def _seams(self, seams: Seams) -> Seams:
        return evolve(seams, random=RecordedRandom(self.script))

    def _channels(self, moments: Moments, world: World) -> list[ReplayChannel]:
        answers = Answers(self.script)
        return [
            ReplayChannel(
                kind.channel_type,
                kind.capabilities,
                self.script.channels[kind.channel_type],
                answers,
                self.happened,
                moments,
                world.timeline,
            )
            for kind in self.recording.began.channels
        ]

    async def _play(
        self, moments: Moments, world: World, runtime: ReplayRuntime, channels: Sequence[ReplayChannel]
    ) -> None:
        script, intake = self.script, world.host.intake
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell, moments, world, world.host.registry)
            nursery.start_soon(self._jump, moments, world)
            nursery.start_soon(self._say_alone, moments, runtime)
            nursery.start_soon(self._spoil, moments, world)
            for channel in channels:
                nursery.start_soon(channel.offer)
            nursery.start_soon(offer_all, script.own, intake, self.happened, moments, world.timeline)
            end = script.end + AFTER_S if script.stopped_at is None else script.stopped_at
            await moments.sleep_until(end)
            nursery.cancel_scope.cancel()

    async def _tell(self, moments: Moments, world: World, registry: Ref[Registry]) -> None:
        for at, told in self.script.told:
            await moments.sleep_until(at)
            world.timeline.add("told", told.message)
            try:
                await registry.ask(_message(told))
            except (ActorError, Refusal, ExceptionGroup, _Refused) as error:
                world.timeline.add("refused", told.message, error)

    async def _jump(self, moments: Moments, world: World) -> None:
        for at, jumped in self.script.jumps:
            await moments.sleep_until(at)
            world.timeline.add("the date jumps", jumped.by_s)
            world.clock.jump(jumped.date - world.clock.now())

    async def _say_alone(self, moments: Moments, runtime: ReplayRuntime) -> None:
        for at, look in self.script.orphans:
            await moments.sleep_until(at)
            moments.align(look.now)
            paths = self._paths(look)
            if paths is not None:
                await runtime.say_alone(paths, look)

    async def _spoil(self, moments: Moments, world: World) -> None:
        """Make the files unreadable that could not be read in the recording."""
        for at, note in self.script.quarantined:
            await moments.sleep_until(at)
            paths = self._paths(note)
            if paths is not None and paths.outbound_db.is_file():
                world.timeline.add("outbound.db is spoilt", note.session)
                paths.outbound_db.write_bytes(b"this is no database\n" * 1000)
                world.executor.after_commit(paths.outbound_db)

    def _paths(self, note: Looked | Quarantined) -> SessionPaths | None:
        found = (paths for paths in sessions_of(self.home / "data") if paths.root.name == note.session)
        return next(found, None)


class _Refused(Exception):
    """The recorded host refused this message."""


def _message(told: Told) -> Any:
    known = told.message in nanoclaw.registry.__all__
    kind: Any = getattr(nanoclaw.registry, told.message) if known else None
    if not hasattr(kind, "handle"):
        raise BadRecording(f"there is no message {told.message!r} to the registry")
    try:
        return JSON.structure(told.fields, kind)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError) as error:
        if told.fields.keys() == fields_dict(kind).keys():
            raise _Refused(error) from error
        raise BadRecording(f"the message {told.message!r} to the registry is damaged: {error}") from error


def _differences(play: _Replay) -> Iterator[str]:
    script, redact = play.script, play.recording.began.redacted
    yield from differences(script, play.happened, redact=redact, until=script.end + AFTER_S)
    for at, id_ in play.unknown:
        if script.whole or at < script.end - AFTER_S:
            yield f"session {id_}: it started a runner that the recording has not"
    if script.whole:
        for lives in script.lives.values():
            yield from (f"session {life.session}: a runner was not started" for life in lives)
        here = {paths.root.name: paths for paths in sessions_of(play.home / "data")}
        pruned = bool(play.settings.get("retention.messages_s"))
        for note in script.left:
            now = left(here[note.session]) if note.session in here else None
            yield from of_left(note, now, pruned=pruned)


def as_json(replayed: Replayed) -> str:
    """Return the result as JSON, for programs."""
    same = not replayed.differences
    values = {"same": same, "torn": replayed.torn, "differences": list(replayed.differences)}
    return json.dumps({**values, "timeline": list(replayed.timeline)}, indent=2, ensure_ascii=False)
