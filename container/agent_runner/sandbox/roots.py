"""The folders that an agent's file tools reach, and opening files in them by directory descriptors.

No path leads out of its folder: each component is opened by itself, and links are followed here, not by
the kernel. So a folder that is replaced by a link at the wrong moment is an error, not a way out. This needs
Linux, as every sandbox does.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, EINVAL, ELOOP, ENOSPC, ENOTDIR
from pathlib import Path

from attrs import field, frozen

from agent_runner.config import RunnerConfig
from agent_runner.errors import ToolError
from agent_runner.knowledge.notes import FILE as NOTES

MOST_LINKS = 40
LONGEST_PATH = 4096
"""Characters."""
MOST_DEPTH = 200
"""Components of a path, with those of the links in it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


@frozen
class Root:
    """A folder that the file tools reach, with all below it."""

    path: Path
    writable: bool = False


@frozen
class Found:
    """A file or folder that was found: the descriptor of its folder, valid inside `find`, and its name there.

    The name is never that of a link. It is `.` for a root itself. Nothing of that name need exist.
    """

    folder: int
    name: str
    path: str
    """The path, as the agent wrote it."""
    at_top: bool
    """True if it is directly in its root."""


@frozen
class Roots:
    """The roots of one session. The first is the workspace, which relative paths start from."""

    roots: tuple[Root, ...]
    private: tuple[Path, ...] = field(default=())
    """The runner's own files, which tools must not open: closing one drops the runner's locks on it."""

    @contextmanager
    def find(self, path: str, *, to_write: bool = False, make_folders: bool = False) -> Iterator[Found]:
        """Find a path. Raises ToolError, also for an OSError inside the block."""
        root, parts = self._root_of(path)
        if to_write and not root.writable:
            raise ToolError(f"{path!r} is read-only; write below {self.roots[0].path}")
        with file_errors(path):
            walk = _Walk(path, root, make_folders=make_folders)
            try:
                found = walk.to(parts)
                if to_write:
                    _check_name(found)
                yield found
            finally:
                walk.close()

    def _root_of(self, path: str) -> tuple[Root, Sequence[str]]:
        if not path or "\0" in path or len(path) > LONGEST_PATH:
            raise ToolError("a path has 1 to 4,096 characters, none of them NUL")
        if not path.startswith("/"):
            return self.roots[0], path.split("/")
        for root in self.roots:
            inside = _inside(root.path, path)
            if inside is not None:
                return root, inside
        known = ", ".join(str(root.path) for root in self.roots)
        raise ToolError(f"{path!r} is outside of the folders that you may use: {known}")

    def open_file(self, found: Found) -> int:
        """Return a descriptor of a regular file, to read it. It never blocks. Raises ToolError, OSError."""
        handle = os.open(found.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.folder)
        try:
            check_regular(found.path, os.fstat(handle))
            self.check_private(found.path, os.fstat(handle))
            return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(handle)

    def check_private(self, path: str, status: os.stat_result) -> None:
        """Raise ToolError for one of the runner's own files, under whatever name."""
        for private in self.private:
            with suppress(OSError):
                if os.path.samestat(private.stat(), status):
                    raise ToolError(f"{path!r} belongs to the system: use `remember` and `recall` for notes")


def roots_of(config: RunnerConfig) -> Roots:
    """Return the roots of a session."""
    read_only = (config.shared, config.inbound_db.parent / "inbox", config.outbox)
    return Roots(
        (Root(config.workspace, writable=True), *map(Root, read_only)),
        (config.workspace / NOTES, config.outbound_db, config.inbound_db),
    )


def check_regular(path: str, status: os.stat_result) -> None:
    """Raise ToolError unless it is a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        hint = "; use list_files" if stat.S_ISDIR(status.st_mode) else ""
        raise ToolError(f"{path!r} is {kind}, not a file{hint}")


def open_folder(found: Found) -> int:
    """Return a descriptor of a folder, to list it. Raises OSError."""
    return os.open(found.name, _FOLDER, dir_fd=found.folder)


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Raise errors of files as ToolError with the path."""
    try:
        yield
    except OSError as error:
        raise ToolError(f"{path!r}: {_words(error)}") from error


def _words(error: OSError) -> str:
    match error.errno:
        case code if code in (ENOSPC, EDQUOT):
            return "there is no space left; delete what you do not need"
        case code if code == ELOOP:
            return "a folder of the path was replaced meanwhile; try again"
        case code if code == ENOTDIR:
            return "a part of the path is a file, not a folder"
        case _:
            return (error.strerror or str(error)).lower()


def _check_name(found: Found) -> None:
    if found.at_top and found.name.startswith(NOTES):
        raise ToolError(f"{found.path!r} belongs to the system: use `remember` and `recall` for notes")


def _inside(root: Path, path: str) -> Sequence[str] | None:
    """Return the components of an absolute path below `root`, or None."""
    for base in (str(root), os.path.realpath(root)):
        if path == base or path.startswith(f"{base}/"):
            return path[len(base) :].split("/")
    return None


class _Walk:
    """Goes from a root to a file in it, with the descriptors of the folders on the way."""

    def __init__(self, path: str, root: Root, *, make_folders: bool) -> None:
        self._path, self._root, self._make_folders = path, root, make_folders
        self._folders = [os.open(os.path.realpath(root.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def close(self) -> None:
        """Close the descriptors."""
        while self._folders:
            os.close(self._folders.pop())

    def to(self, parts: Sequence[str]) -> Found:
        """Return the file. Raises ToolError, OSError."""
        todo, links = deque(filter(_is_step, parts)), 0
        while todo:
            part = todo.popleft()
            if part == "..":
                self._up()
            elif (target := self._link(part)) is not None:
                links += 1
                if links > MOST_LINKS:
                    raise ToolError(f"{self._path!r} has too many links")
                todo.extendleft(reversed([*filter(_is_step, self._follow(target))]))
            elif not todo:
                return Found(self._folders[-1], part, self._path, len(self._folders) == 1)
            else:
                self._into(part)
        return Found(self._folders[-1], ".", self._path, at_top=False)

    def _up(self) -> None:
        if len(self._folders) == 1:
            raise ToolError(f"{self._path!r} leads out of {self._root.path}")
        os.close(self._folders.pop())

    def _link(self, part: str) -> str | None:
        try:
            return os.readlink(part, dir_fd=self._folders[-1])
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != EINVAL:
                raise
            return None

    def _follow(self, target: str) -> Sequence[str]:
        """Return the components of a link's target."""
        if not target.startswith("/"):
            return target.split("/")
        inside = _inside(self._root.path, target)
        if inside is None:
            raise ToolError(f"{self._path!r} has a link that leads out of {self._root.path}: {target!r:.200}")
        while len(self._folders) > 1:
            os.close(self._folders.pop())
        return inside

    def _into(self, part: str) -> None:
        if len(self._folders) >= MOST_DEPTH:
            raise ToolError(f"{self._path!r} has more than {MOST_DEPTH} folders")
        if self._make_folders:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=self._folders[-1])
        self._folders.append(os.open(part, _FOLDER, dir_fd=self._folders[-1]))


def _is_step(part: str) -> bool:
    return part not in ("", ".")
