"""A runner whose agent runs curl with each message as its arguments, and answers with the output."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from agent_runner import main
from agent_runner.providers import ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn


@frozen
class Surfing:
    """Runs curl as a program of a sandbox does, with the variables of its runner."""

    async def run(self, turn: Turn, _tools: Toolbox) -> Result:
        words = str(turn.messages[-1].content["text"]).split()
        command = ["curl", "-sS", "-m", "10", *words]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        return Result(replies=(Reply(text=(done.stdout + done.stderr).decode().strip()),))


class Provider:
    name = "echo"

    @asynccontextmanager
    async def open(self, _context: ProviderContext) -> AsyncGenerator[TurnHandler]:
        await trio.lowlevel.checkpoint()
        yield Surfing()


if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:], {"echo": Provider}))
