"""The output of a command: its head and tail for the agent, and a bounded file with the rest."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio
from attrs import define, field

from agent_runner.prompt.markup import plain

OUTPUTS = "tmp"
"""The folder of the workspace with outputs that are too long for the model."""
HEAD, TAIL = 12_000, 18_000
"""Bytes of the output that are shown: its beginning and its end."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of the output that the file keeps, from its beginning."""
BINARY = 0.1
"""The part of characters that are no text, from which on output is not shown."""
_ESCAPE = re.compile(r"\x1b\[[0-9;:?]*[@-~]|\x1b[()][A-Z0-9]|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)")


@define(eq=False)
class Output:
    """Takes all output of a command, so that the command never blocks, and keeps a bounded part of it."""

    open_file: Callable[[], int]
    """Opens the file for the whole output. Raises OSError."""
    file_path: Path
    """The path of that file."""
    size: int = field(default=0, init=False)
    """The bytes so far."""
    has_file: bool = field(default=False, init=False)
    """True if the file is there."""
    ended: trio.Event = field(factory=trio.Event, init=False)
    """Set when no process writes any more."""
    _head: bytearray = field(factory=bytearray, init=False)
    _tail: bytearray = field(factory=bytearray, init=False)
    _file: int | None = field(default=None, init=False)
    _written: int = field(default=0, init=False)

    async def read(self, stream: trio.abc.ReceiveStream | None) -> None:
        """Read to the end."""
        try:
            if stream is not None:
                async with stream:
                    async for chunk in stream:
                        self._take(bytes(chunk))
        finally:
            self.ended.set()
            self._close()

    def keep_in_file(self) -> None:
        """Write the output into the file from now on, with what there was before."""
        if self.has_file or self._file is not None:
            return
        with suppress(OSError):  # a full disk: the file is a convenience
            self._file = self.open_file()
            self.has_file = True
            self._write(bytes(self._head + self._tail))

    def _take(self, chunk: bytes) -> None:
        if self.size + len(chunk) > HEAD + TAIL:
            self.keep_in_file()
        self.size += len(chunk)
        room = HEAD - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[max(0, room) :]
        del self._tail[:-TAIL]
        self._write(chunk)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._written += os.write(self._file, data[: LARGEST_FILE - self._written])
        except OSError:
            self._close()
        if self._written >= LARGEST_FILE:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def text(self) -> str:
        """Return what is shown: all of it, or head and tail with a note between them."""
        data = bytes(self._head + self._tail)
        if _is_binary(data):
            self.keep_in_file()
            return f"({self.size:,} bytes of binary output are not shown)"
        left_out = self.size - len(data)
        if not left_out:
            return _words(data)
        return f"{_words(bytes(self._head))}\n[… {left_out:,} bytes left out …]\n{_words(bytes(self._tail))}"


def _is_binary(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    return text.count("\0") + text.count("\ufffd") > len(text) * BINARY


def _words(data: bytes) -> str:
    """Return bytes as a terminal shows them: without colours, and without what a progress bar overwrote."""
    text = _ESCAPE.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
    return plain("\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")))


def make_room(folder: Path, pattern: str, most: int) -> None:
    """Remove the oldest files of a pattern, so that one more makes at most `most`. Blocking."""
    found = sorted(folder.glob(pattern), key=lambda path: path.lstat().st_mtime)
    for path in found[: -(most - 1)]:
        path.unlink(missing_ok=True)
