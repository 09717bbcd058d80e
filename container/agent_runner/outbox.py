"""Files to send, in `outbox/<message_out_id>/`: written before their row, removed after their delivery."""

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from agent_runner import inbound, outbound
from agent_runner.errors import ToolError
from agent_runner.seams import Executor
from agent_runner.store import Connection, Reader, Writer
from agent_runner.trees import remove_tree

LONGEST_NAME = 128
LARGEST_FILE = 50 * 1024 * 1024
CHUNK = 1024 * 1024


def safe_name(name: str) -> str:
    """Return a name fit for a path (contract 1): one component, no leading dot, the extension kept."""
    flat = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    flat = re.sub(r"^\.", "_", flat) or "_"
    stem, suffix = os.path.splitext(flat)  # noqa: PTH122 -- text, not a path
    return stem[: LONGEST_NAME - len(suffix[:32])] + suffix[:32]


@define(eq=False)
class Outbox:
    """The folders that wait for their delivery. Only the runner's loop and turns use it."""

    _root: Path
    _executor: Executor
    _waiting: set[str] = field(factory=set, init=False)

    async def adopt(self, writer: Writer) -> None:
        """Take over the folders of an earlier runner. Those without a message are removed."""
        left = await self._executor.run(lambda: _folders(self._root), lane="read")
        if left:
            kept = await writer.read(lambda connection: _kept(connection, left))
            await self._remove(left - kept)
            self._waiting |= kept

    async def put(self, message_out_id: str, source: Path) -> str:
        """Copy a file in, synced to disk, and return its name there. Raises ToolError."""
        name = safe_name(source.name)
        self._waiting.add(message_out_id)
        folder = self._root / message_out_id
        try:
            await self._executor.run(lambda: _copy(source, folder, name), lane="read")
        except OSError as error:
            raise ToolError(f"{source.name} cannot be sent: {error.strerror}") from error
        return name

    async def tidy(self, reader: Reader) -> None:
        """Remove the folders whose messages have a final outcome."""
        if self._waiting:
            done = await reader.read(lambda connection: _done(connection, self._waiting))
            await self._remove(done)
            self._waiting -= done

    async def _remove(self, ids: Iterable[str]) -> None:
        folders = [self._root / id_ for id_ in ids]
        await self._executor.run(lambda: _remove(folders), lane="read")


def _folders(root: Path) -> set[str]:
    names = os.listdir(root) if root.is_dir() else ()  # noqa: PTH208 -- names are needed, not paths
    return {name for name in names if _is_text(name)}


def _is_text(name: str) -> bool:
    """Return whether SQLite can take a name. One that is not UTF-8 belongs to no message."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kept(connection: Connection, ids: Iterable[str]) -> set[str]:
    return {id_ for id_ in ids if outbound.is_sent(connection, id_)}


def _done(connection: Connection, ids: Iterable[str]) -> set[str]:
    return {id_ for id_ in ids if inbound.delivered(connection, id_) is not None}


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it is gone, or a later runner tries it again
            remove_tree(folder)


def _copy(source: Path, folder: Path, name: str) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(reading)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{source.name} is not a regular file")
        if status.st_size > LARGEST_FILE:
            raise ToolError(f"{source.name} is larger than {LARGEST_FILE // 1024 // 1024} MiB")
        folder.mkdir(mode=0o700, parents=True)
        _write(reading, folder / name)
    finally:
        os.close(reading)
    for directory in (folder, folder.parent, folder.parent.parent):
        _sync(directory)


def _write(reading: int, goal: Path) -> None:
    with goal.open("xb") as writing:
        while chunk := os.read(reading, CHUNK):
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
