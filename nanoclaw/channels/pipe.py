"""The terminal's front end when nobody sits at it: lines of input are messages, replies go to the output."""

import os
import sys
from collections.abc import AsyncIterator
from typing import IO

import structlog
import trio
from attrs import define

from nanoclaw.channels.terminal import Terminal

MAX_LINE = 64 * 1024 * 1024
"""Bytes of one message; a longer line is refused, and the next one is read."""
CHUNK = 65536

_log = structlog.get_logger()


@define(eq=False)
class Pipe:
    """Standard input and output, with nobody at them. `refused` counts lines that were no messages."""

    output: IO[str] = sys.stdout
    refused: int = 0

    async def read(self, terminal: Terminal) -> None:
        """Say line after line, each stored before the next one is read."""
        number = 0
        async for line in _lines(sys.stdin.fileno()):
            number += 1
            text = self._decoded(number, line)
            if text:
                await terminal.say(text)

    def _decoded(self, number: int, line: bytes | None) -> str | None:
        try:
            if line is not None:
                return line.decode("utf-8").strip()
            reason = f"it is longer than {MAX_LINE} bytes; send it as a file"
        except UnicodeDecodeError as error:
            reason = f"byte {error.start + 1} is not UTF-8; convert the input with iconv"
        self.refused += 1
        _log.error("pipe.line_refused", line=number, reason=reason)
        return None

    async def show(self, text: str) -> None:
        """Write a reply, in a thread: whoever reads the output may be slow."""
        await trio.to_thread.run_sync(self._write, text)

    def _write(self, text: str) -> None:
        self.output.write(text + "\n")
        self.output.flush()

    def typing(self, *, on: bool) -> None:
        """Nobody looks."""


async def _lines(descriptor: int) -> AsyncIterator[bytes | None]:
    """The lines of a stream without their ends; None for one that is too long."""
    parts, size = list[bytes](), 0
    async for chunk in _chunks(descriptor):
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield None if size + len(line) > MAX_LINE else b"".join([*parts, line])
            parts, size = [], 0
        size += len(rest)
        parts = [*parts, rest] if size <= MAX_LINE else []
    if size:
        yield None if size > MAX_LINE else b"".join(parts)


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What comes in; the stream is left as it was found, for it may be shared with other programs."""
    blocking = os.get_blocking(descriptor)
    stream = trio.lowlevel.FdStream(os.dup(descriptor))
    try:
        while chunk := await stream.receive_some(CHUNK):
            yield bytes(chunk)
    finally:
        await stream.aclose()
        os.set_blocking(descriptor, blocking)
