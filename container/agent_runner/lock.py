"""Keeps a second runner out of a session (contract 6).

The kernel frees a `flock` when its holder dies.
"""

import fcntl
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from agent_runner.errors import OwnerError

LONGEST_WAIT = 3.0
PAUSE = 0.02


@asynccontextmanager
async def hold_lock(path: Path) -> AsyncGenerator[None]:
    """Hold the lock at `path`. Wait up to 3 s for an old runner to end, then raise OwnerError."""
    make_writable(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        await _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def make_writable(path: Path) -> None:
    """Give a file of this user the permissions that its owner needs. It may have been read-only for a while.

    Without this, a lock or a journal from that time would keep the session from running for ever.
    """
    with suppress(OSError):  # whoever opens the file reports what is wrong
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and 0o600 & ~found.st_mode:
            path.chmod(stat.S_IMODE(found.st_mode) | 0o600)


async def _lock(descriptor: int, path: Path) -> None:
    deadline = trio.current_time() + LONGEST_WAIT
    while not _try_lock(descriptor):
        if trio.current_time() >= deadline:
            raise OwnerError(f"another runner holds {path}")
        await trio.sleep(PAUSE)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
