"""Gives a session's files to the user of its sandbox, if the host runs as root (contract 6).

The runtime `process` runs runners as root, which leave files of root. So each start of a sandbox looks again.
It walks by directory descriptors and follows no link: what it walks belongs to an agent.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from nanoclaw.runtimes.protocol import RunnerSpec, StartFailed

QUICK_S = 0.05
"""A folder that takes longer is walked once in a host's life."""
MAX_DEPTH = 64
"""Folders in folders that are looked at. Each level takes a descriptor, and an agent may have made many."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Change = Callable[[str, os.stat_result, int], None]
"""Changes one entry of a folder: its name, what it is, the folder's descriptor."""


@define(eq=False)
class Handover:
    """Hands files over to the user of sandboxes."""

    owner: tuple[int, int]
    """Its user and group id."""
    _slow: set[Path] = field(factory=set, init=False)
    """Folders that are done and too large to be walked again."""

    def give(self, spec: RunnerSpec) -> None:
        """Let the sandbox's user own what it writes, and read the rest. Blocking.

        The folders above are open to root alone, so other users of the machine read nothing.

        Raises:
            StartFailed: a file cannot be given.
        """
        paths = spec.paths
        for folder in (paths.outbound_dir, spec.workspace):
            self._walk(folder, self._own)
        for folder in (paths.inbound_dir, paths.gateway_dir, *([] if spec.shared is None else [spec.shared])):
            self._walk(folder, _let_read)

    def _own(self, name: str, found: os.stat_result, folder: int) -> None:
        if (found.st_uid, found.st_gid) != self.owner:
            os.chown(name, *self.owner, dir_fd=folder, follow_symlinks=False)

    def _walk(self, folder: Path, change: Change) -> None:
        """Change a folder and everything below it. An interrupted walk is repeated at the next start."""
        if folder in self._slow:
            return
        began = time.monotonic()
        try:
            _walk(folder, change)
        except OSError as error:
            raise StartFailed(
                f"{folder} cannot be given to the sandbox's user {self.owner[0]}: {error.strerror or error}"
            ) from error
        if time.monotonic() - began > QUICK_S:
            self._slow.add(folder)


def _let_read(name: str, found: os.stat_result, folder: int) -> None:
    if stat.S_ISLNK(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        return
    wanted = stat.S_IMODE(found.st_mode) | (0o055 if stat.S_ISDIR(found.st_mode) else 0o044)
    if wanted != stat.S_IMODE(found.st_mode):
        os.chmod(name, wanted, dir_fd=folder)


def _walk(folder: Path, change: Change) -> None:
    """Change a folder, which may be a link of the owner's, and all that is below it."""
    folder = Path(os.path.realpath(folder))
    try:
        parent = os.open(folder.parent, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        _walk_in(parent, [folder.name], change, MAX_DEPTH)
    finally:
        os.close(parent)


def _walk_in(folder: int, names: Sequence[str], change: Change, depth: int) -> None:
    """Change entries of a folder, and what is below them. Entries that vanish meanwhile are skipped."""
    for name in names:
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            change(name, found, folder)
            if stat.S_ISDIR(found.st_mode) and depth:
                _walk_below(name, folder, change, depth - 1)


def _walk_below(name: str, folder: int, change: Change, depth: int) -> None:
    try:
        below = os.open(name, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):  # an agent has replaced it
        return
    try:
        _walk_in(below, os.listdir(below), change, depth)  # noqa: PTH208 -- of a descriptor
    finally:
        os.close(below)
