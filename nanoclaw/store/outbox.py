"""Reading the agent's attachments, everything about which is hostile.

The walk is by directory descriptors and follows no link at any level (contract 1).
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from nanoclaw.records import OutgoingFile
from nanoclaw.store.names import is_component

MAX_FILES = 50
"""Of one message: each one is opened in a worker that others wait for."""
MAX_BYTES = 50 * 1024 * 1024
"""All files of one message together."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BadAttachment(ValueError):
    """A file of the outbox that cannot be sent; the text says which and why."""


def read_files(outbox: Path, message_out_id: str, names: Sequence[str]) -> tuple[OutgoingFile, ...]:
    """The named files of a message; blocking, so it runs on the executor.

    Raises:
        BadAttachment: a name outside contract 1, a link, no regular file, missing, or too large.
    """
    if not names:
        return ()
    if len(names) > MAX_FILES:
        raise BadAttachment(f"the message names {len(names)} files; {MAX_FILES} is the most")
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
        raise BadAttachment(f"the outbox cannot be opened: {error.strerror}") from error


def _open(name: str, parent: int, flags: int) -> int:
    """Open one component below `parent`, which is closed."""
    try:
        if not is_component(name):
            raise BadAttachment(f"{name[:80]!r} is no file name of contract 1")
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        raise BadAttachment(f"outbox file {name!r} cannot be opened: {error.strerror}") from error
    finally:
        os.close(parent)


def _look(name: str, directory: int) -> os.stat_result:
    if not is_component(name):
        raise BadAttachment(f"{name[:80]!r} is no file name of contract 1")
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        raise BadAttachment(f"outbox file {name!r} cannot be opened: {error.strerror}") from error


def _check_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadAttachment(f"outbox file {name!r} is no regular file but {stat.filemode(found.st_mode)}")


def _read(name: str, directory: int, limit: int) -> bytes:
    # The look before keeps us from opening a device, which may do something; the one after is the proof.
    _check_regular(name, _look(name, directory))
    descriptor = _open(name, os.dup(directory), _FILE)
    try:
        _check_regular(name, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadAttachment(f"outbox file {name!r} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise BadAttachment(f"outbox file {name!r} is over the {MAX_BYTES} bytes of one message")
    return data
