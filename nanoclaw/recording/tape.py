"""The tape: takes notes from all parts of a host, and writes them down in batches.

Taking a note is an append in memory. One task writes what has come together, syncs it and waits a moment: so
a kill loses the notes of `BATCH_S` and of one write. A tape that cannot be written any more says so once and
takes no further notes; the host goes on.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from os import fsync
from pathlib import Path
from typing import BinaryIO

import structlog
import trio
from attrs import define, field

from nanoclaw.recording.lines import FILE, dump
from nanoclaw.recording.notes import Note
from nanoclaw.store import Executor

BATCH_S = 0.2
MAX_WAITING = 200_000
"""Notes that wait to be written; more, and the disk is too slow for the tape."""

_log = structlog.get_logger()


@define(eq=False)
class Tape:
    """One recording that is being made. `note` may be called from any thread, the rest from trio's."""

    folder: Path
    executor: Executor
    change: Callable[[Note], Note]
    """What becomes of each note before it is written, in the worker."""
    began: float = field(factory=trio.current_time)
    numbers: "count[int]" = field(factory=lambda: count(1))
    sessions: set[str] = field(factory=set)
    """Those that the host has dealt with."""
    jumps: list[tuple[float, float]] = field(factory=list)
    """When the date jumped, on trio's clock, and by how many seconds."""
    stopped: str | None = None
    """Why no more notes are taken."""
    _file: BinaryIO | None = None
    _notes: deque[tuple[float, Note]] = field(factory=deque)
    _woken: trio.Event = field(factory=trio.Event)
    _last: float = 0.0

    def note(self, note: Note) -> None:
        """Take a note; it is written later."""
        if self.stopped is not None:
            return
        here = trio.lowlevel.in_trio_task()
        if here:
            self._last = trio.current_time() - self.began
        self._notes.append((self._last, note))
        if here:  # what a worker notes goes with the next one
            self._woken.set()
        if len(self._notes) > MAX_WAITING:
            self._stop("the disk is too slow for it")

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            await self.flush()
            await trio.sleep(BATCH_S)

    async def flush(self) -> None:
        """Write what there is; cancelled only before and after."""
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        if notes and self.stopped is None:
            with trio.CancelScope(shield=True):
                await self.executor.run(partial(self._write, notes))

    async def close(self) -> None:
        """Write the rest, and let go of the file."""
        await self.flush()
        with trio.CancelScope(shield=True):
            await self.executor.run(self._close)

    # -- in the worker

    def _write(self, notes: Sequence[tuple[float, Note]]) -> None:
        lines = [f"{dump(at, self.change(note))}\n" for at, note in notes]
        try:
            if self._file is None:
                self._file = _create(self.folder / FILE)
            self._file.write("".join(lines).encode("ascii"))
            self._file.flush()
            fsync(self._file.fileno())
        except OSError as error:
            self._stop(str(error))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        self._notes.clear()
        advice = "what was recorded so far can be replayed; record again into another folder"
        _log.error("recording.stopped", folder=str(self.folder), reason=reason, advice=advice)


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")
