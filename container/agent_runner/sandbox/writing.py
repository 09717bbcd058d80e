"""Writes files whole or not at all: into a file beside it, which then takes its name."""

import os
import stat
from contextlib import suppress

from agent_runner.sandbox.roots import Found, Roots, check_regular

NEW_MODE = 0o666
"""The mode of a new file, before the umask."""


def replace(roots: Roots, found: Found, data: bytes, mark: str) -> bool:
    """Write a file. Return True if it is new. Raises ToolError, OSError; then the file is as it was.

    `mark` makes the name of the file beside it unique. A process that dies may leave that file.
    """
    before = _status(found)
    if before is not None:
        check_regular(found.path, before)
        roots.check_private(found.path, before)
    beside = f".{mark}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, NEW_MODE, dir_fd=found.folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if before is not None:
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            os.fsync(descriptor)
        os.rename(beside, found.name, src_dir_fd=found.folder, dst_dir_fd=found.folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside, dir_fd=found.folder)
        raise
    return before is None


def _status(found: Found) -> os.stat_result | None:
    try:
        return os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
