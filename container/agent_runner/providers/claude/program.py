"""Claude Code as a process: the SDK's transport, with an environment and an end that are ours.

The SDK's own transport passes the whole environment on, and takes 5 s to end a busy program.
"""

import json
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from claude_agent_sdk import ProcessError, Transport

CHUNK = 64 * 1024
LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one message of the program. Pictures that it reads are in them."""
GRACE = 2.0
"""Seconds for an idle program to end by itself."""
KILL_LIMIT = 2.0


@define(eq=False)
class Program(Transport):
    """One process of Claude Code. It leads a process group of its own."""

    _command: Sequence[str]
    _environment: Mapping[str, str]
    _folder: Path
    _log: Path
    """The file that takes what the program writes to stderr."""
    _process: trio.Process | None = field(default=None, init=False)
    _writing: trio.Lock = field(factory=trio.Lock, init=False)

    async def connect(self) -> None:
        """Start the program. Raises OSError."""
        with self._log.open("wb") as log:
            self._process = await trio.lowlevel.open_process(
                list(self._command),
                env=dict(self._environment),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    async def write(self, data: str) -> None:
        """Send a message. Raises trio.BrokenResourceError if the program is gone."""
        async with self._writing:
            await self._stream("stdin").send_all(data.encode("utf-8", "replace"))

    def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Return the program's messages. Raises ProcessError if it fails."""
        return _Messages(self)

    async def read(self) -> bytes:
        """Return what the program has written, or nothing at its end. Raises ProcessError if it fails."""
        if data := bytes(await self._stream("stdout").receive_some(CHUNK)):
            return data
        code = await self._running().wait()
        if code:
            raise ProcessError("Claude Code ended", exit_code=code, stderr=self.last_words())
        return b""

    async def close(self) -> None:
        """End the program, and wait for it. Nothing of it is left."""
        if self._process is None:
            return
        with suppress(trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream("stdin").aclose()
        with trio.move_on_after(GRACE):
            await self._process.wait()
        self.kill()
        with trio.move_on_after(KILL_LIMIT):
            await self._process.wait()
        if self._process.stdout:
            await self._process.stdout.aclose()

    def kill(self) -> None:
        """Kill the program and the processes that it started, at once."""
        if self._process is None:
            return
        for pid in reversed([self._process.pid, *_descendants(self._process.pid)]):
            if pid != self._process.pid or self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def is_ready(self) -> bool:
        """Return True while the program runs."""
        return self._process is not None and self._process.returncode is None

    async def end_input(self) -> None:
        """Close the program's input."""
        await self._stream("stdin").aclose()

    def last_words(self) -> str:
        """Return the end of what the program wrote to stderr."""
        with suppress(OSError), self._log.open(errors="replace") as log:
            return "".join(deque(log, maxlen=5)).strip()[-500:]
        return ""

    def _running(self) -> trio.Process:
        if self._process is None:
            raise ProcessError("Claude Code was not started")
        return self._process

    def _stream(self, name: str) -> Any:
        return getattr(self._running(), name)


@define(eq=False)
class _Lines:
    """Joins chunks into lines in linear time."""

    _parts: list[bytes] = field(factory=list)
    _size: int = 0

    def add(self, chunk: bytes) -> Sequence[bytes]:
        """Return the lines that this chunk completes. Raises ProcessError for an endless one."""
        first, *more = chunk.split(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if self._size > LONGEST_LINE:
            raise ProcessError(f"Claude Code wrote a line of more than {LONGEST_LINE:,} bytes")
        if not more:
            return ()
        done = [b"".join(self._parts), *more[:-1]]
        self._parts, self._size = [more[-1]], len(more[-1])
        return done


@define(eq=False)
class _Messages:
    """The messages of a program. It is not a generator, which trio must close by hand."""

    _program: Program
    _lines: _Lines = field(factory=_Lines)
    _ready: deque[dict[str, Any]] = field(factory=deque)

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._ready:
            data = await self._program.read()
            if not data:
                raise StopAsyncIteration
            self._ready.extend(map(_parsed, filter(_is_message, self._lines.add(data))))
        return self._ready.popleft()


def _is_message(line: bytes) -> bool:
    return line.startswith(b"{")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise ProcessError(f"Claude Code wrote a line that is not JSON: {error}") from error
    return message


def _descendants(pid: int) -> list[int]:
    """Return the processes below a process, parents first. Systems without /proc have no answer."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = [int(child) for text in threads for child in text.split()]
    return [*children, *(grandchild for child in children for grandchild in _descendants(child))]
