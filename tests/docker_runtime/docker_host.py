"""A host with the docker runtime: `python -m tests.docker_runtime.docker_host HOME SOCKET IMAGE`.

It says "hello" in its only chat, and prints each reply.
"""

import sys
from pathlib import Path

import trio

from nanoclaw.host import open_host
from nanoclaw.logs import configure_logging
from nanoclaw.testing import FakeChannel, wire
from tests.docker_runtime.docker_homes import config


async def main(home: Path, socket: Path, image: str) -> None:
    channel = FakeChannel()
    async with open_host(config(home, socket, image), channels=[channel]) as host:
        await wire(host, channel.address())
        await channel.say("hello", event_id="e1")
        for n in range(1, 1000):
            print((await channel.wait_for(n))[n - 1].content, flush=True)  # noqa: T201 -- its output


if __name__ == "__main__":
    configure_logging("error", human=False)
    trio.run(main, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
