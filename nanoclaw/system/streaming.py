"""Reads and writes files in parts, so that none is in memory as a whole. No link is followed."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PART = 1 << 20
"""Bytes that are in memory at once."""
_LONGEST_NAME = 255
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Irregular(OSError):
    """A path names a folder, a device or a pipe instead of a file."""


class TooLarge(Exception):
    """A file has more bytes than its limit."""


def check_regular(found: os.stat_result) -> None:
    """Raise Irregular if it is no regular file."""
    if not stat.S_ISREG(found.st_mode):
        raise Irregular(f"it is not a regular file ({stat.filemode(found.st_mode)})")


@contextmanager
def opened(path: str | Path, dir_fd: int | None = None) -> Iterator[int]:
    """Open a regular file to read, and yield its descriptor.

    Raises:
        OSError: it is missing, a link, or may not be read. `Irregular` if it is no file.
    """
    # Opening a device may have an effect, so check first. Check again, since it may have been replaced.
    check_regular(os.stat(path, dir_fd=dir_fd, follow_symlinks=False))
    descriptor = os.open(path, _READ, dir_fd=dir_fd)
    try:
        check_regular(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def parts(descriptor: int, limit: int) -> Iterator[bytes]:
    """Return the content of an open file in parts.

    Raises:
        TooLarge: it has more than `limit` bytes. If it grows meanwhile, the iterator raises this.
    """
    if os.fstat(descriptor).st_size > limit:
        raise TooLarge
    return _parts(descriptor, limit)


def _parts(descriptor: int, left: int) -> Iterator[bytes]:
    while part := os.read(descriptor, min(PART, left + 1)):
        left -= len(part)
        if left < 0:
            raise TooLarge
        yield part


def write(target: Path, content: Iterable[bytes], *, mode: int = 0o600, sync: bool = True) -> int:
    """Write a file, or replace it as a whole, and return its size. After an error it is as it was.

    Raises:
        OSError: the disk is full or fails.
    """
    beside = target.with_name(f".{target.name}.part"[-_LONGEST_NAME:])
    try:
        descriptor = os.open(beside, _WRITE, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0):
            os.fchmod(descriptor, mode)
            size = sum(_written(descriptor, part) for part in content)
            if sync:
                os.fsync(descriptor)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return size


def _written(descriptor: int, part: bytes) -> int:
    """Write all of a part, and return its length."""
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(part)
