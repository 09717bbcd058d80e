"""Our runner, but each turn waits until a test writes to the pipe that the first argument names."""

import sys
from pathlib import Path

import trio

from agent_runner.main import main
from agent_runner.providers import Toolbox
from agent_runner.providers.echo import Echo
from agent_runner.records import Result, Turn

GATE = Path(sys.argv[1])
answer = Echo.run


async def hold(self: Echo, turn: Turn, tools: Toolbox) -> Result:
    """Opening a named pipe waits for its other end."""
    await trio.to_thread.run_sync(GATE.read_bytes, abandon_on_cancel=True)
    return await answer(self, turn, tools)


if __name__ == "__main__":
    Echo.run = hold  # type: ignore[method-assign]  # that is the point of this runner
    sys.exit(main(sys.argv[2:]))
