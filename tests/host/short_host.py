"""A host that is killed after it has answered: `python -m tests.host.short_host HOME FIFO`.

Its runner holds FIFO open for as long as it lives.
"""

import os
import signal
import sys
from pathlib import Path

import trio

from nanoclaw.host import Seams, open_host
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import config

HOLD = """
import os, sys
os.set_inheritable(os.open(sys.argv[1], os.O_WRONLY), True)
os.execv(sys.executable, [sys.executable, "-P", "-m", "agent_runner"])
"""


async def live(home: Path, fifo: str) -> None:
    runtime, channel = ProcessRuntime(command=(sys.executable, "-c", HOLD, fifo)), FakeChannel()
    async with open_host(config(home), channels=[channel], seams=Seams(runtime=runtime)) as host:
        await wire(host, channel.address())
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    trio.run(live, Path(sys.argv[1]), sys.argv[2])
