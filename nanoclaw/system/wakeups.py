"""Wake-ups: one inotify instance of the host tells watchers that a directory may have seen a commit.

In DELETE mode the unlink of `*-journal` is the commit, so each commit gives one `IN_DELETE` (contract 2). It
is only a hint: every watcher also looks by itself from time to time. Callbacks are synchronous and only
signal. The rename of a draft (contract 1) is an event of its own, and causes no look.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from errno import ENOSPC
from pathlib import Path
from typing import Protocol

import structlog
import trio
from attrs import define

Changed = Callable[[], None]

DRAFT = ".draft"
"""The name of a draft file (contract 1)."""
POLL_S = 0.25
"""Seconds between polls on systems without inotify."""
FLOOD_PER_S = 1000
"""Events a second above which a directory loses its watch and is polled."""
SWEEP_S = 1.0
"""Shortest interval in seconds of sweeps after an overflow, and of polls of a flooded directory."""

_log = structlog.get_logger()


class Wakeups(Protocol):
    """Tells watchers about commits."""

    def watch(
        self, directory: Path, changed: Changed, drafted: Changed | None = None
    ) -> AbstractContextManager[None]:
        """Call `changed` after commits to databases directly in `directory`, while the context is open.

        Call `drafted` after its draft file was replaced. If the directory is polled, that is never called.
        """
        ...

    def polled(self, directory: Path) -> str | None:
        """Return why this one directory is polled instead of watched, or None if it is watched."""
        ...

    async def run(self) -> None:
        """Tell the watchers until cancelled. It is called again after a failure."""
        ...


@contextmanager
def open_wakeups() -> Iterator[Wakeups]:
    """Open the wake-ups of a host: inotify on Linux, polling elsewhere."""
    if sys.platform != "linux":
        yield _Polling()
        return
    try:
        wakeups = _Inotify()
    except OSError as error:
        advice = "raise fs.inotify.max_user_instances"
        _log.warning("wakeups.no_inotify_left", reason=str(error), now="polled", advice=advice)
        yield _Polling()
        return
    try:
        yield wakeups
    finally:
        wakeups.close()


@define(eq=False)
class _Watch:
    directory: Path
    changed: Changed
    drafted: Changed | None = None
    since: float = 0.0
    events: int = 0
    polled: str | None = None
    """The reason why it is polled. None while the kernel watches it."""

    def floods(self, now: float) -> bool:
        """Count one event. Return True if this second had too many."""
        if now - self.since >= 1.0:
            self.since, self.events = now, 0
        self.events += 1
        return self.events > FLOOD_PER_S


class _Polling:
    """Calls all watchers every `POLL_S`."""

    def __init__(self) -> None:
        self._watches: set[_Watch] = set()

    @contextmanager
    def watch(self, directory: Path, changed: Changed, drafted: Changed | None = None) -> Iterator[None]:
        watch = _Watch(directory, changed, drafted)
        self._watches.add(watch)
        try:
            yield
        finally:
            self._watches.discard(watch)

    def polled(self, directory: Path) -> None:
        """Return None: here all directories are polled, and none causes that."""

    async def run(self) -> None:
        while True:
            await trio.sleep(POLL_S)
            for watch in list(self._watches):
                watch.changed()


class _Inotify:
    """One inotify instance with one watch for each directory."""

    def __init__(self) -> None:
        import inotify_simple  # type: ignore[import-untyped]  # noqa: PLC0415 -- untyped, and Linux only

        self._inotify = inotify_simple.INotify(nonblocking=True)
        flags = inotify_simple.flags
        self._mask = flags.DELETE | flags.MOVED_TO | flags.ONLYDIR
        self._renamed = flags.MOVED_TO
        self._overflow = inotify_simple.flags.Q_OVERFLOW
        self._watches: dict[int, _Watch] = {}
        self._swept_at = float("-inf")

    @contextmanager
    def watch(self, directory: Path, changed: Changed, drafted: Changed | None = None) -> Iterator[None]:
        watch = _Watch(directory, changed, drafted)
        descriptor = self._add(watch)
        if descriptor in self._watches:
            raise RuntimeError(f"{directory} is watched already; open one watch for each directory")
        self._watches[descriptor] = watch
        try:
            yield
        finally:
            del self._watches[descriptor]
            self._remove(descriptor)

    def _add(self, watch: _Watch) -> int:
        """Return the kernel's descriptor of a watch, or a negative number if the kernel has none left."""
        try:
            return int(self._inotify.add_watch(watch.directory, self._mask))
        except OSError as error:
            if error.errno != ENOSPC:
                raise
        watch.polled = "the kernel has no watch left for it"
        advice = "raise fs.inotify.max_user_watches"
        _log.warning("wakeups.no_watch_left", directory=str(watch.directory), now="polled", advice=advice)
        return min([0, *self._watches]) - 1

    def _remove(self, descriptor: int) -> None:
        with suppress(OSError):  # the watch ended with its directory, or never existed
            self._inotify.rm_watch(descriptor)

    def close(self) -> None:
        self._inotify.close()

    def polled(self, directory: Path) -> str | None:
        return next((w.polled for w in self._watches.values() if w.directory == directory), None)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._poll_flooding)
            while True:
                await trio.lowlevel.wait_readable(self._inotify.fd)
                if self._dispatch():
                    await self._sweep()

    def _dispatch(self) -> bool:
        """Deliver the waiting events. Return True if events were lost."""
        now, lost = trio.current_time(), False
        changed, drafted = set[_Watch](), set[_Watch]()
        for event in self._inotify.read(timeout=0):
            lost = lost or bool(event.mask & self._overflow)
            watch = self._watches.get(event.wd)
            if watch is None or watch.polled:
                continue
            if watch.floods(now):
                self._give_up(event.wd, watch)
            if event.mask & self._renamed:
                drafted.update([watch] if event.name == DRAFT else [])
            elif event.name.endswith("-journal"):
                changed.add(watch)
        for watch in changed:
            watch.changed()
        for watch in drafted:
            if watch.drafted is not None:
                watch.drafted()
        return lost

    def _give_up(self, descriptor: int, watch: _Watch) -> None:
        watch.polled = f"it brought more than {FLOOD_PER_S:,} events in a second"
        self._remove(descriptor)
        _log.warning("wakeups.flood", directory=str(watch.directory), limit_per_s=FLOOD_PER_S, now="polled")

    async def _poll_flooding(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            for watch in [w for w in self._watches.values() if w.polled]:
                watch.changed()

    async def _sweep(self) -> None:
        await trio.sleep(max(0.0, self._swept_at + SWEEP_S - trio.current_time()))
        self._swept_at = trio.current_time()
        for watch in list(self._watches.values()):
            watch.changed()
