"""Lock files: one owner across all processes. The kernel frees the lock when it dies (contract 6)."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from nanoclaw.store.engine.connections import PRIVATE_FILE, grant, make_private_dir
from nanoclaw.store.engine.errors import Exhausted, Owned, OwnershipLost, translating
from nanoclaw.store.engine.executor import Executor

DYING_S = 2.0
"""Seconds to wait for descriptors, and for a lock whose owner is dead or unknown. A child of a dead owner
holds the lock between fork and exec, and a caller of `held` for a moment.
"""
PAUSE_S = 0.02
NOTE_AT = 32
"""Bytes of a lock file that are kept for the holder's pid."""


@frozen
class Held:
    """A lock file that this process holds."""

    descriptor: int
    path: str

    def check(self) -> None:
        """Check that the lock file is still the one that is held: others would lock another. Blocking.

        Raises:
            OwnershipLost: it was deleted or replaced.
        """
        with suppress(OSError):
            if os.path.samestat(os.fstat(self.descriptor), os.lstat(self.path)):
                return
        raise OwnershipLost(Path(self.path))


@asynccontextmanager
async def holding(path: Path, executor: Executor) -> AsyncIterator[Held]:
    """Hold the lock file at `path` while the context is open.

    Missing directories are created. From `NOTE_AT` on, the holder may keep a note in the file.

    Raises:
        Owned: the lock is held already, in this process or another.
        StoreError: the file cannot be created.
    """
    descriptor = await _acquired(path, executor)
    try:
        yield Held(descriptor, str(path))
    finally:
        with trio.CancelScope(shield=True):
            await executor.run(partial(_release, descriptor))


async def _acquired(path: Path, executor: Executor) -> int:
    deadline = trio.current_time() + DYING_S
    while True:
        try:
            return await executor.run(partial(_acquire, path))
        except Owned as error:
            if (error.pid is not None and _lives(error.pid)) or trio.current_time() > deadline:
                raise
        except Exhausted:
            if trio.current_time() > deadline:
                raise
        await trio.sleep(PAUSE_S)


def held(path: Path) -> Owned | None:
    """Return the error that `holding` would raise now, or None if the lock is free. Nothing is changed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Owned(path, _pid(descriptor))
    finally:
        os.close(descriptor)
    return None


def _lives(pid: int) -> bool:
    with suppress(PermissionError, OverflowError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _acquire(path: Path) -> int:
    with translating(path):
        make_private_dir(path.parent)
        descriptor = _open(path)
    try:
        with translating(path):
            _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    _write(descriptor, f"{os.getpid()}\n")
    return descriptor


def _open(path: Path) -> int:
    """Open the lock file, and create it if it is missing. Make it writable if it is not."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, PRIVATE_FILE)
    except PermissionError:
        if not os.path.lexists(path) or not grant(path, os.lstat(path), PRIVATE_FILE):
            raise
    return os.open(path, flags, PRIVATE_FILE)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Owned(path, _pid(descriptor)) from error


def _release(descriptor: int) -> None:
    _write(descriptor, "")
    os.close(descriptor)


def _write(descriptor: int, holder: str) -> None:
    """Write the holder's pid, and keep the note behind it. A full disk loses the pid, but not the lock."""
    with suppress(OSError):
        if os.fstat(descriptor).st_size > NOTE_AT:
            os.pwrite(descriptor, holder.encode().ljust(NOTE_AT, b"\0"), 0)
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)


def _pid(descriptor: int) -> int | None:
    with suppress(ValueError):
        return int(os.pread(descriptor, NOTE_AT, 0).strip(b"\0"))
    return None
