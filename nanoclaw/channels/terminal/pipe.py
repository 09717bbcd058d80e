"""The terminal's front end when nobody sits at it: lines of input are messages, replies go to the output."""

import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TextIO

import trio
from attrs import Factory, define

from nanoclaw.channels.terminal.desk import Speaker
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.records import NotAccepted
from nanoclaw.system.lines import Lines

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one message; a longer line is refused, and the next one is read."""
CHUNK = 65536


@define(eq=False)
class Pipe:
    """Standard input and output, with nobody at them."""

    output: TextIO = Factory(lambda: sys.stdout)
    refused: dict[int, str] = Factory(dict)
    """Lines that became no messages, by number, with the reason and what to do."""
    _cut: bool = False
    _writing: trio.CancelScope = Factory(trio.CancelScope)

    async def read(self, speaker: Speaker) -> None:
        """Say line after line, each stored before the next one is read."""
        if sys.stdin is None:  # closed by whoever started us; another file may have its number by now
            return
        number = 0
        async with _input(sys.stdin.fileno()) as stream:
            async for line in Lines(partial(stream.receive_some, CHUNK), MAX_LINE):
                number += 1
                text = self._decoded(number, line)
                if text:
                    await self._say(speaker, number, text)

    def _decoded(self, number: int, line: bytes | None) -> str | None:
        if line is None:
            self.refused[number] = f"it is longer than {MAX_LINE >> 20} MiB; split it"
            return None
        try:
            return line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            self.refused[number] = (
                f"byte {error.start + 1} is not UTF-8; convert the input, for example with iconv"
            )
            return None

    async def _say(self, speaker: Speaker, number: int, text: str) -> None:
        try:
            await speaker.say(text)
        except NotAccepted as error:
            self.refused[number] = f"{error}; fix this, then send it again"

    async def show(self, text: str) -> None:
        """Write a reply, in a thread that is left behind if nobody reads the output.

        Raises:
            OSError: the output is closed, or was cut.
        """
        shown = harmless(text) if self.output.isatty() else text
        data = f"{shown}\n".encode(errors="replace")
        with trio.CancelScope() as self._writing:
            if not self._cut:
                await trio.to_thread.run_sync(_write, self.output.fileno(), data, abandon_on_cancel=True)
                return
        raise OSError(errno.EPIPE, "nobody reads the output")

    def cut(self) -> None:
        """The program ends: wait no longer for whoever should read the output."""
        self._cut = True
        self._writing.cancel()

    def typing(self, *, on: bool) -> None:
        """Nobody looks."""


def _write(descriptor: int, data: bytes) -> None:
    # Not through sys.stdout: a thread left behind in it would hold its lock until the program's end.
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@asynccontextmanager
async def _input(descriptor: int) -> AsyncIterator[trio.lowlevel.FdStream]:
    """A stream of what comes in; it is left as it was found, for it may be shared with other programs."""
    blocking = os.get_blocking(descriptor)
    stream = trio.lowlevel.FdStream(os.dup(descriptor))
    try:
        yield stream
    finally:
        await stream.aclose()
        os.set_blocking(descriptor, blocking)
