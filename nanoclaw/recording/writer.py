"""The writer of a recording: takes notes from all parts of a host and writes them in batches.

Taking a note is an append in memory. One task writes and syncs a batch, then waits `BATCH_S`. So a kill loses
the notes of `BATCH_S` and of one write. If a write fails, the writer logs that once and takes no more notes;
the host continues.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from os import fsync
from pathlib import Path

import structlog
import trio
from attrs import define, field

from nanoclaw.recording.lines import FILE, dump
from nanoclaw.recording.notes import Note
from nanoclaw.store import Executor

BATCH_S = 0.2
MAX_WAITING = 200_000
"""The most notes that may wait. If more do, the disk is too slow and the recording stops."""

_log = structlog.get_logger()


@define(eq=False)
class RecordingWriter:
    """Writes one recording. `note` may be called from any thread, everything else from trio's."""

    folder: Path
    executor: Executor
    change: Callable[[Note], Note]
    """Changes each note before it is written. It runs in the worker thread."""
    began: float = field(factory=trio.current_time)
    numbers: "count[int]" = field(factory=lambda: count(1))
    sessions: set[str] = field(factory=set)
    """The sessions that the host has worked on."""
    jumps: list[tuple[float, float]] = field(factory=list)
    """The moments, on trio's clock, at which the date jumped, and by how many seconds."""
    stopped: str | None = None
    """The reason why it takes no more notes, if it does not."""
    _descriptor: int | None = None
    """The open file, once there is one. A file object would warn where a host is killed in a simulation."""
    _notes: deque[tuple[float, Note]] = field(factory=deque)
    _woken: trio.Event = field(factory=trio.Event)
    _last: float = 0.0

    def note(self, note: Note) -> None:
        """Take a note, to be written later."""
        if self.stopped is not None:
            return
        here = trio.lowlevel.in_trio_task()
        if here:
            self._last = trio.current_time() - self.began
        self._notes.append((self._last, note))
        if here:  # a note from a worker is written together with the next one
            self._woken.set()
        if len(self._notes) > MAX_WAITING:
            self._stop("the disk is too slow for it")

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            await self.flush()
            await trio.sleep(BATCH_S)

    async def flush(self) -> None:
        """Write all waiting notes. It may be cancelled before and after the write, not during it."""
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        if notes and self.stopped is None:
            with trio.CancelScope(shield=True):
                await self.executor.run(partial(self._write, notes))

    async def close(self) -> None:
        """Write the remaining notes and close the file."""
        await self.flush()
        with trio.CancelScope(shield=True):
            await self.executor.run(self._close)

    # -- in the worker

    def _write(self, notes: Sequence[tuple[float, Note]]) -> None:
        lines = "".join(f"{dump(at, self.change(note))}\n" for at, note in notes).encode("ascii")
        try:
            if self._descriptor is None:
                self._descriptor = _create(self.folder / FILE)
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
            fsync(self._descriptor)
        except OSError as error:
            self._stop(str(error))

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        self._notes.clear()
        advice = "the recording up to here can be replayed; to record again, use another folder"
        _log.error("recording.stopped", folder=str(self.folder), reason=reason, advice=advice)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
