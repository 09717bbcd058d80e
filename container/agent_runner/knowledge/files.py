"""Reads files that people and agents wrote. No such file can hang the runner or end it."""

import codecs
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from attrs import define, field, frozen

T = TypeVar("T")
LONGEST_TEXT = 40_000
"""Characters of a file that are read. A character has at most four bytes."""
MOST_KEPT = 1_000
"""Files whose texts a cache keeps."""


@frozen(str=False)
class UnusableFile(Exception):
    """A file is there and cannot be used."""

    reason: str
    """The reason in words, without the name of the file."""

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


@frozen
class _Kept:
    identity: tuple[int, int, int]
    value: object
    """What was made of the text, or an UnusableFile."""


def _as_text(text: str) -> str:
    return text


@define(eq=False)
class TextFiles:
    """Reads text files, and keeps what was made of each until the file changes."""

    _kept: dict[tuple[Path, object], _Kept] = field(factory=dict, init=False)
    _reported: set[str] = field(factory=set, init=False)

    def read(self, root: Path, name: str) -> str | None:
        """Return the text of a file below `root`, or None if there is none. Raises UnusableFile.

        Of a long file it is the first 40,000 characters, and a note. A link may lead to a file below `root`.
        """
        return self.parse(root, name, _as_text)

    def parse(self, root: Path, name: str, parse: Callable[[str], T]) -> T | None:
        """Return what `parse` makes of a text, as `read` returns it. It may raise UnusableFile, too."""
        path = _resolved(root, name)
        if path is None:
            return None
        found = _status(path)
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        kept = self._kept.get((path, parse))
        if kept is None or kept.identity != identity:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = self._kept[path, parse] = _Kept(identity, _parsed(path, parse))
        if isinstance(kept.value, UnusableFile):
            raise UnusableFile(kept.value.reason)
        return cast("T", kept.value)

    def is_news(self, problem: str) -> bool:
        """Return True the first time that it is called with this problem, for the first 1,000 problems."""
        if problem in self._reported or len(self._reported) >= MOST_KEPT:
            return False
        self._reported.add(problem)
        return True


def _parsed(path: Path, parse: Callable[[str], object]) -> object:
    try:
        return parse(_read(path))
    except UnusableFile as error:
        return error


def _resolved(root: Path, name: str) -> Path | None:
    try:
        (root / name).lstat()  # most files are not there, and this is fast
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableFile(_words(error)) from error
    try:
        path, within = (root / name).resolve(strict=True), root.resolve()
    except (FileNotFoundError, NotADirectoryError):
        if (root / name).is_symlink():
            raise UnusableFile("it is a link that leads nowhere") from None
        return None
    except (OSError, RuntimeError) as error:
        raise UnusableFile(_words(error)) from error
    if not path.is_relative_to(within):
        raise UnusableFile("it is a link to a place outside of its folder")
    return path


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise UnusableFile(_words(error)) from error


def _read(path: Path) -> str:
    try:
        data, size = _bytes(path)
    except OSError as error:
        raise UnusableFile(_words(error)) from error
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=len(data) >= size)
    except UnicodeDecodeError as error:
        raise UnusableFile(f"it is not UTF-8 at byte {error.start:,}") from error
    if len(text) <= LONGEST_TEXT and len(data) >= size:
        return text
    return (
        f"{text[:LONGEST_TEXT]}\n[… only the first {LONGEST_TEXT:,} characters of {size:,} bytes are shown …]"
    )


def _bytes(path: Path) -> tuple[bytes, int]:
    """Return the beginning of a regular file, and its size. A FIFO does not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnusableFile("it is not a regular file")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(4 * LONGEST_TEXT + 4), found.st_size
    finally:
        os.close(descriptor)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
