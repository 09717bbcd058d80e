"""A host with few descriptors and many chats at once: `python -m tests.host.starved_host HOME LIMIT CHATS`.

It prints the chats whose message was answered, and the descriptors of a session with an idle runner.
"""

import resource
import sys
from pathlib import Path

import trio

from nanoclaw.config import config_of
from nanoclaw.host import open_host
from nanoclaw.system.descriptors import descriptors
from nanoclaw.testing import FakeChannel, wire
from nanoclaw.testing.silent_logs import silent_logs


async def live(home: Path, limit: int, chats: int) -> None:
    channel = FakeChannel()
    async with open_host(config_of(home, {"timezone": "UTC"}), channels=[channel]) as host:
        for n in range(chats):
            await wire(host, channel.address(f"chat-{n}"))
        tell(await measured(channel))
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        async with trio.open_nursery() as nursery:
            for n in range(chats):
                nursery.start_soon(say, channel, n)
        for n in range(chats):
            await channel.reply_to(f"event-{n}")
        tell(sorted({sent.address.platform_id for sent in channel.sent}))
        nodes = host.sessions.nodes()
        details = [await host.sessions.status(node.name, 5.0) for node in nodes]
        tell([each.quarantined for each in details if each and each.quarantined])


def tell(found: object) -> None:
    sys.stdout.write(f"{found}\n")
    sys.stdout.flush()


async def measured(channel: FakeChannel) -> int:
    """Return the descriptors that one session with an idle runner adds."""
    before = descriptors().used or 0
    await channel.say("hello", chat="chat-0", event_id="first")
    await channel.reply_to("first")
    await trio.sleep(0.5)
    return (descriptors().used or 0) - before


async def say(channel: FakeChannel, n: int) -> None:
    await channel.say("hello", chat=f"chat-{n}", event_id=f"event-{n}")


if __name__ == "__main__":
    with silent_logs():
        trio.run(live, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
