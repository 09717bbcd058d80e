"""Keeps a second runner out of a session (contract 6).

The kernel frees a `flock` when its holder dies.
"""

import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from agent_runner.errors import OwnerError

LONGEST_WAIT = 3.0
PAUSE = 0.02


@asynccontextmanager
async def hold_lock(path: Path) -> AsyncGenerator[None]:
    """Hold the lock at `path`. Wait up to 3 s for an old runner to end, then raise OwnerError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        await _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


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
