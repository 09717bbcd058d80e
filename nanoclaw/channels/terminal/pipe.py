"""The terminal's front end without a person: each line of input is a message, replies go to the output."""

import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TextIO

import trio
from attrs import Factory, define

from nanoclaw.channels.terminal.desk import NotConfirmed, Speaker
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.records import NotAccepted
from nanoclaw.system.lines import Lines

MAX_LINE = 16 * 1024 * 1024
"""Limit of one message in bytes. A longer line is refused, and the next one is read."""
CHUNK = 65536
UNWRITABLE = "standard output cannot be written"


@define(eq=False)
class Pipe:
    """A front end on standard input and output."""

    output: TextIO = Factory(lambda: sys.stdout)
    refused: dict[int, str] = Factory(dict)
    """The refused lines: number, and what became of it, why and what to do."""
    trouble: str | None = None
    """The reason why the output could not be written."""
    _failed: trio.Event = Factory(trio.Event)
    _cut: bool = False
    _writing: trio.CancelScope = Factory(trio.CancelScope)

    async def read(self, speaker: Speaker) -> None:
        """Pass on each line. It is stored before the next one is read."""
        if sys.stdin is None:  # closed at the start of the program; another file may have its number now
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
            self.refused[number] = f"was not sent: it is longer than {MAX_LINE >> 20} MiB; split it"
            return None
        try:
            return line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            self.refused[number] = (
                f"was not sent: byte {error.start + 1} is not UTF-8; "
                "convert the input, for example with iconv"
            )
            return None

    async def _say(self, speaker: Speaker, number: int, text: str) -> None:
        try:
            await speaker.say(text)
        except NotConfirmed as error:
            self.refused[number] = f"was sent, not confirmed: {error}"
        except NotAccepted as error:
            self.refused[number] = f"was not sent: {error}; fix this, then send it again"

    async def show(self, text: str) -> None:
        """Write a reply in a thread, which is abandoned if nobody reads the output.

        Raises:
            OSError: the output is closed, or was cut.
        """
        shown = harmless(text) if self.output.isatty() else text
        data = f"{shown}\n".encode(errors="replace")
        with trio.CancelScope() as self._writing:
            if not self._cut:
                await self._write(data)
                return
        raise OSError(errno.EPIPE, "nobody reads the output")

    async def _write(self, data: bytes) -> None:
        try:
            await trio.to_thread.run_sync(_write, self.output.fileno(), data, abandon_on_cancel=True)
        except OSError as error:
            self.trouble = f"{UNWRITABLE}: {error.strerror or error}"
            self._failed.set()
            raise

    async def failure(self) -> None:
        """Wait until the output cannot be written."""
        await self._failed.wait()

    def cut(self) -> None:
        """Stop waiting for a reader of the output, because the program ends."""
        self._cut = True
        self._writing.cancel()

    def typing(self, *, on: bool) -> None:
        """Do nothing."""

    def draft(self, text: str) -> None:
        """Do nothing: what is written to a pipe stays."""


def _write(descriptor: int, data: bytes) -> None:
    # Not through sys.stdout: an abandoned thread would hold its lock until the program's end.
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@asynccontextmanager
async def _input(descriptor: int) -> AsyncIterator[trio.lowlevel.FdStream]:
    """Open a stream of the input. Its mode is restored, because other programs may share the file."""
    blocking = os.get_blocking(descriptor)
    stream = trio.lowlevel.FdStream(os.dup(descriptor))
    try:
        yield stream
    finally:
        await stream.aclose()
        os.set_blocking(descriptor, blocking)
