"""An agent that shouts: a provider of your own, in a runner of your own.

The runner is a separate process. Started without arguments, this program is the host. The host starts it
again for each session, with the argument `runner`.
"""

import sys
from secrets import token_hex

import attrs
import trio

from agent_runner.errors import ProviderError
from agent_runner.main import main as runner
from agent_runner.providers import SimpleProvider, Toolbox
from agent_runner.records import Reply, Result, Turn
from nanoclaw import load_config, open_host, render
from nanoclaw.logs import configure_logging
from nanoclaw.testing import FakeChannel


@attrs.frozen
class Shout(SimpleProvider):
    """Answers in capital letters. A real provider asks a model here."""

    name: str = "shout"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn. If it fails or is cancelled, the same messages come again."""
        replies = []
        for message in turn.messages:
            text = str(message.content.get("prompt" if message.kind == "task" else "text", ""))
            if text == "":
                raise ProviderError("there is nothing to shout")  # no answer: the message is tried again
            if text.endswith("?") and not turn.already_sent:  # an interrupted turn may have sent it
                await tools.call("send_message", {"text": "LET ME THINK"})  # sent at once
            replies.append(Reply(f"{text.upper()}!", message.id))
        return Result(tuple(replies))


async def host() -> None:
    """Ask the agent once, over a fake network."""
    settings = {
        "model.provider": "shout",
        "sandbox.process_providers": ["shout"],  # it runs as you, on your files, so it must be named
        "runtime.command": [sys.executable, "-P", __file__, "runner"],
    }
    network = FakeChannel()
    async with open_host(load_config(settings=settings), channels=[network]) as running:
        await running.admin.wirings.connect(network.address(), "main", policy="public")
        await network.say("is anybody there?", event_id=token_hex(8))  # a new id: each event is stored once
        for outgoing in await network.wait_for(2):
            print(render(outgoing))


if __name__ == "__main__":
    if sys.argv[1:2] == ["runner"]:
        sys.exit(runner(sys.argv[2:], {"shout": Shout}))
    configure_logging("error")
    trio.run(host)
