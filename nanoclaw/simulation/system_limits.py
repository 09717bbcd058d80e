"""Limits and errors of the system for the duration of one call: written bytes, descriptors, failing reads.

For synchronous code only. The kernel enforces the limits, so SQLite fails in the middle of its work.
"""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes while the block runs.

    A write beyond it raises OSError, or SQLITE_IOERR in SQLite.
    """
    with _limited(resource.RLIMIT_FSIZE, size):
        yield


@contextmanager
def no_descriptor() -> Iterator[None]:
    """Let this process open nothing while the block runs: opening raises EMFILE, or SQLITE_CANTOPEN."""
    with _limited(resource.RLIMIT_NOFILE, 0):
        yield


@contextmanager
def no_read() -> Iterator[None]:
    """Let `os.pread` fail with EIO while the block runs. The guard reads a container's file by it."""
    read = os.pread
    os.pread = _fail
    try:
        yield
    finally:
        os.pread = read


def _fail(_descriptor: int, _amount: int, _offset: int) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@contextmanager
def _limited(which: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)
