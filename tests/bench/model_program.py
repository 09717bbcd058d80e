"""A fake model that answers at once, as a program of its own: a real model is never a part of the host.

Beside the host in one process, it would use the host's event loop: each of its steps would delay a task of
the host, or be delayed by one.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE
from time import clock_gettime

import trio
from attrs import frozen

from nanoclaw.testing.models import ModelAnswer, open_fake_model


@frozen
class ModelProgram:
    """The running program."""

    url: str
    pid: int

    @property
    def cpu_s(self) -> float:
        """The processor time that it has taken so far, in seconds."""
        return clock_gettime((~self.pid << 3) | 2)  # the kernel's name of another process's clock


@asynccontextmanager
async def model_program() -> AsyncIterator[ModelProgram]:
    """Run the program while the block runs."""
    process = await trio.lowlevel.open_process([sys.executable, "-m", __name__], stdout=PIPE)
    try:
        assert process.stdout is not None
        url = b""
        while not url.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            assert piece, "the fake model ended before it served"
            url += piece
        yield ModelProgram(url.decode().strip(), process.pid)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _serve() -> None:
    async with open_fake_model(ModelAnswer("hello")) as model:
        sys.stdout.write(f"{model.url}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_serve)
