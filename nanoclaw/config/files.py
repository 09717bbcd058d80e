"""Reads the text of configuration files: bounded, from regular files only, without blocking."""

import os
import stat
from errno import EISDIR
from pathlib import Path

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
"""Levels of tables and lists within each other."""
TOO_DEEP = f"is nested too deeply; use at most {MAX_DEPTH} levels"


class Unreadable(Exception):
    """A file that cannot be read as text. `line` is 0 where no line is to blame."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line

    def at(self, file: Path) -> str:
        """Return the problem as one line."""
        return f"{place(file, self.line)}: {self.reason}"


def place(file: Path, line: int) -> str:
    """Return a file and a line of it, as errors begin."""
    return f"{file} line {line}" if line else str(file)


def read_text(file: Path) -> str:
    """Return the text of a file. A byte order mark at its beginning is dropped.

    Raises:
        FileNotFoundError: it is missing. A symbolic link that leads nowhere is not.
        Unreadable: it is no regular file, too large, or no UTF-8.
    """
    data = _read(file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"must be UTF-8, got the byte 0x{data[error.start]:02x}; save it as UTF-8", line
        ) from error


def _read(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would block
    except FileNotFoundError:
        if file.is_symlink():
            reason = f"is a symbolic link to {file.readlink()}, which is missing"
            raise Unreadable(reason) from None
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    try:
        return _bounded(descriptor)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _bounded(descriptor: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise Unreadable(f"cannot be read: {os.strerror(EISDIR)}")
    if not stat.S_ISREG(mode):
        raise Unreadable(f"must be a regular file, but is a special one ({stat.filemode(mode)})")
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Unreadable(f"must be at most {MAX_BYTES // 1024**2} MiB")
    return data
