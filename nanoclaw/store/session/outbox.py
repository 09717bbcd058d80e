"""Reads the agent's attachments. Every name and file in the outbox is hostile.

It opens everything relative to directory descriptors, and follows no link at any level (contract 1).
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from nanoclaw.records import OutgoingFile
from nanoclaw.store.engine.errors import translated_os
from nanoclaw.store.engine.names import is_component
from nanoclaw.system.obstacles import Obstacle, kind_of, passes

MAX_FILES = 50
"""Limit of files in one message. A worker that other calls wait for opens each of them."""
MAX_BYTES = 50 * 1024 * 1024
"""Limit for all files of one message together, in bytes."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BadAttachment(ValueError):
    """A file of the outbox cannot be sent. The text says which one and why."""


def read_files(outbox: Path, message_out_id: str, names: Sequence[str]) -> tuple[OutgoingFile, ...]:
    """Return the named files of a message. Blocking: run it on the executor.

    Raises:
        BadAttachment: a name violates contract 1, or a file is missing, irregular, a link or too large.
        StoreUnavailable: the system cannot serve a file now.
    """
    if not names:
        return ()
    if len(names) > MAX_FILES:
        raise BadAttachment(f"the message has {len(names)} files; the limit is {MAX_FILES}: send fewer")
    descriptor = _open(message_out_id, _open_root(outbox), _DIRECTORY)
    try:
        files, left = [], MAX_BYTES
        for name in names:
            data = _read(name, descriptor, left)
            files.append(OutgoingFile(name, data))
            left -= len(data)
        return tuple(files)
    finally:
        os.close(descriptor)


def _open_root(outbox: Path) -> int:
    try:
        return os.open(outbox, _DIRECTORY)
    except OSError as error:
        if passes(error):
            raise translated_os(error, outbox) from error
        raise BadAttachment(f"the outbox cannot be opened: {error.strerror}") from error


def _open(name: str, parent: int, flags: int) -> int:
    """Open one component below the descriptor `parent`, and close `parent`."""
    try:
        if not is_component(name):
            raise BadAttachment(f"{name[:80]!r} is not a valid file name (contract 1)")
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        raise _unopened(name, error, "opened") from error
    finally:
        os.close(parent)


def _unopened(name: str, error: OSError, done: str) -> Exception:
    """Return the error for a file. The container sets its permissions, so a missing one is not ours."""
    if passes(error) and kind_of(error) is not Obstacle.DENIED:
        return translated_os(error, Path(name))
    return BadAttachment(f"outbox file {name!r} cannot be {done}: {error.strerror}")


def _copy_of(directory: int, name: str) -> int:
    try:
        return os.dup(directory)
    except OSError as error:
        raise _unopened(name, error, "opened") from error


def _look(name: str, directory: int) -> os.stat_result:
    if not is_component(name):
        raise BadAttachment(f"{name[:80]!r} is not a valid file name (contract 1)")
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        raise _unopened(name, error, "opened") from error


def _check_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadAttachment(f"outbox file {name!r} is not a regular file ({stat.filemode(found.st_mode)})")


def _read(name: str, directory: int, limit: int) -> bytes:
    # Opening a device may have an effect, so check first. Check again after opening, because the container
    # may have replaced the file in between.
    _check_regular(name, _look(name, directory))
    descriptor = _open(name, _copy_of(directory, name), _FILE)
    try:
        _check_regular(name, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _unopened(name, error, "read") from error
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise BadAttachment(f"outbox file {name!r} exceeds the limit of {MAX_BYTES:,} bytes for one message")
    return data
