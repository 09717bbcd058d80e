"""The folders in a session's `outbound` over which a sandbox mounts others.

An agent writes `outbound`. If it had left a link in the place of such a folder, a runtime would follow it.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nanoclaw.runtimes.protocol import StartFailed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_mount_points(outbound: Path, names: Iterable[str], owner: tuple[int, int] | None) -> None:
    """Make folders in `outbound`. Whatever else has such a name is removed. No runner may be alive. Blocking.

    Raises:
        StartFailed: it is not possible.
    """
    try:
        folder = os.open(outbound, _FOLDER)
    except OSError as error:
        raise StartFailed(f"{outbound} cannot be used: {error.strerror or error}") from error
    try:
        for name in names:
            _make(folder, name, owner)
    except OSError as error:
        raise StartFailed(f"{outbound} cannot have folders: {error}") from error
    finally:
        os.close(folder)


def _make(folder: int, name: str, owner: tuple[int, int] | None) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=folder)
    os.mkdir(name, 0o700, dir_fd=folder)
    if owner is not None:
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
