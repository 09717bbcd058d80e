"""Counts the disk space of folders that a hostile program may fill, in short slices.

It counts blocks, not sizes, so holes are free. A file with several names counts once. Folders are opened from
their root on, one name at a time, and no link is followed. Other file systems are left out.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

BLOCK = 512
MOST_ENTRIES = 2_000_000
"""A tree with more files and folders counts as full: its names take space, too, and a count takes minutes."""
MOST_LEVELS = 100
"""A tree that is deeper counts as full."""
SLICE = 5000
"""Entries that one slice of a count looks at, which takes about 20 ms."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def free_bytes(folder: Path) -> int:
    """Return the bytes that an ordinary user may still write on a folder's disk. Blocking.

    Raises:
        OSError: the folder cannot be looked at.
    """
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


@frozen
class _Place:
    """A folder that is still to be counted."""

    root: Path
    names: tuple[str, ...] = ()

    def below(self, name: str) -> "_Place":
        return _Place(self.root, (*self.names, name))


@define(eq=False)
class Count:
    """One count of several folders. Call `go_on` until it returns True."""

    roots: Sequence[Path]
    enough: int
    """The count ends once it has found that many bytes."""
    found: int = field(default=0, init=False)
    """The bytes that were found so far."""
    too_many: str | None = field(default=None, init=False)
    """The reason why the folders count as full whatever they contain; None if there is none."""
    unread: int = field(default=0, init=False)
    """The number of folders that could not be read."""
    _entries: int = field(default=0, init=False)
    _linked: set[tuple[int, int]] = field(factory=set, init=False)
    _steps: Iterator[None] | None = field(default=None, init=False)

    @property
    def full(self) -> bool:
        """True if the folders take as much as is enough, or count as full."""
        return self.found >= self.enough or self.too_many is not None

    def go_on(self, entries: int = SLICE) -> bool:
        """Count some more entries. Return True if the count is complete. Blocking."""
        if self._steps is None:
            self._steps = self._count()
        for _ in range(entries):
            if self.full or next(self._steps, self) is self:
                self.close()
                return True
        return False

    def close(self) -> None:
        """Release the open folder. Call it if the count is given up."""
        if self._steps is not None:
            self._steps.close()  # type: ignore[attr-defined]  # it is a generator

    def _count(self) -> Iterator[None]:
        waiting = [_Place(root) for root in self.roots]
        while waiting:
            place = waiting.pop()
            try:
                descriptor = _opened(place)
            except OSError:
                self.unread += 1
                yield
                continue
            try:
                yield from self._folder(place, descriptor, waiting)
            except OSError:
                self.unread += 1
            finally:
                os.close(descriptor)

    def _folder(self, place: _Place, descriptor: int, waiting: list[_Place]) -> Iterator[None]:
        device = os.fstat(descriptor).st_dev
        with os.scandir(descriptor) as entries:
            for entry in entries:
                with suppress(OSError):  # it is gone
                    found = entry.stat(follow_symlinks=False)
                    self._add(found)
                    if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                        self._descend(place.below(entry.name), waiting)
                yield

    def _descend(self, place: _Place, waiting: list[_Place]) -> None:
        if len(place.names) > MOST_LEVELS:
            self.too_many = f"there are folders nested deeper than {MOST_LEVELS} levels"
        else:
            waiting.append(place)

    def _add(self, found: os.stat_result) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            self.too_many = f"there are more than {MOST_ENTRIES:,} files"
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in self._linked:
                return
            self._linked.add((found.st_dev, found.st_ino))
        self.found += found.st_blocks * BLOCK


def _opened(place: _Place) -> int:
    """Open a folder. Each name on the way must be a folder, and no link."""
    descriptor = os.open(place.root, _FOLDER)
    for name in place.names:
        try:
            below = os.open(name, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor
