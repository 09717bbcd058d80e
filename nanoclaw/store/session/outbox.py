"""Copies the agent's attachments. Every name and file in the outbox is hostile.

It opens everything relative to directory descriptors, and follows no link at any level (contract 1).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanoclaw.records import OutgoingFile
from nanoclaw.records.files import MAX_BYTES, MAX_FILES
from nanoclaw.store.engine.errors import translated_os, translating
from nanoclaw.store.engine.names import is_component
from nanoclaw.system.obstacles import Obstacle, kind_of, passes
from nanoclaw.system.streaming import Irregular, TooLarge, opened, parts, write

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BadAttachment(ValueError):
    """A file of the outbox cannot be sent. The text says which one and why."""


def copy_files(
    outbox: Path, message_out_id: str, names: Sequence[str], into: Path
) -> tuple[OutgoingFile, ...]:
    """Copy the named files of a message into an empty folder. Blocking: run it on the executor.

    Raises:
        BadAttachment: a name violates contract 1, or a file is missing, irregular, a link or too large.
        StoreUnavailable: the system cannot serve a file now, or the disk is full.
    """
    if len(names) > MAX_FILES:
        raise BadAttachment(f"the message has {len(names)} files; the limit is {MAX_FILES}: send fewer")
    descriptor = _open(message_out_id, _open_root(outbox), _DIRECTORY)
    try:
        files, left = list[OutgoingFile](), MAX_BYTES
        for n, name in enumerate(names):
            files.append(_copy(name, descriptor, into / str(n), left))
            left -= files[-1].size
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


def _copy(name: str, directory: int, into: Path, limit: int) -> OutgoingFile:
    """Copy one file into a folder of its own, which keeps its name."""
    if not is_component(name):
        raise BadAttachment(f"{name[:80]!r} is not a valid file name (contract 1)")
    try:
        with opened(name, directory) as descriptor:
            return _copied(name, _readable(name, parts(descriptor, limit)), into)
    except TooLarge:
        reason = f"exceeds the limit of {MAX_BYTES:,} bytes for one message"
        raise BadAttachment(f"outbox file {name!r} {reason}") from None
    except Irregular as error:
        raise BadAttachment(f"outbox file {name!r}: {error}") from error
    except OSError as error:
        raise _unopened(name, error, "opened") from error


def _copied(name: str, content: Iterator[bytes], into: Path) -> OutgoingFile:
    with translating(into):
        into.mkdir(mode=0o700)
        return OutgoingFile(name, into / name, write(into / name, content, sync=False))


def _readable(name: str, content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content. Its errors are those of the agent's file, not of the copy."""
    try:
        yield from content
    except OSError as error:
        raise _unopened(name, error, "read") from error
