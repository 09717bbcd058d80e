"""Writes that fail in the middle of whatever writes: the kernel refuses them, to SQLite itself."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """While it is open this process can write no file beyond so many bytes: OSError, SQLITE_IOERR.

    For synchronous code only; pipes and sockets go on.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
