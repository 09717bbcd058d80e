"""One runner a session: `flock` on a file that the kernel frees when its holder dies (contract 6)."""

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
async def own(path: Path) -> AsyncGenerator[None]:
    """Hold the lock at `path`. Waits up to 3 s for an old runner to be gone, then raises OwnerError."""
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
