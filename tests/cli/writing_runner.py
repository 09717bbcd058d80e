"""Our runner, but a test writes drafts and answers to the pipe that the first argument names."""

import json
import sys
from pathlib import Path

import trio

from agent_runner.errors import ProviderError
from agent_runner.main import main
from agent_runner.providers import Toolbox
from agent_runner.providers.echo import Echo
from agent_runner.records import Reply, Result, Turn

STEPS = Path(sys.argv[1]).open("r+b", buffering=0)  # noqa: SIM115 -- until the end


async def write(_self: Echo, turn: Turn, tools: Toolbox) -> Result:
    """Take steps until one ends the turn."""
    while True:
        line = await trio.to_thread.run_sync(STEPS.readline, abandon_on_cancel=True)
        match json.loads(line):
            case {"draft": text}:
                tools.draft(text)
            case {"fail": reason}:
                raise ProviderError(reason)
            case {"answer": text}:
                return Result((Reply(text, in_reply_to=turn.messages[-1].id),))


if __name__ == "__main__":
    Echo.run = write  # type: ignore[method-assign]  # that is the point of this runner
    sys.exit(main(sys.argv[2:]))
