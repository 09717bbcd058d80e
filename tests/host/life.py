"""One life of a host, as a program of its own: `python -m tests.host.life HOME REPEAT KILL`.

Its chat network is a folder beside the home: what users said and the host has not confirmed is offered again
by the next life, and every delivery is appended to a log. KILL is `before:N` or `after:N`, the commit at
which the process kills itself, or `never`; then it leaves when all is answered and tells how many there were.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import apsw
import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.protocol import Outcome, Repeat, Sender
from nanoclaw.host import Seams, open_host
from nanoclaw.logs import configure_logging
from nanoclaw.records import Address, ChatMessage, InboundEvent, Intake, Outgoing, Receipt, TextContent
from nanoclaw.store import ThreadExecutor, open_reader
from nanoclaw.testing.channel import wire
from tests.host.homes import config

CHAT = Address("outside", "chat")


class KillingExecutor(ThreadExecutor):
    """Counts commits, and kills the process before or after one of them."""

    def __init__(self, kill: str) -> None:
        super().__init__()
        self._kill = kill
        self._counting = threading.Lock()
        self.begun = 0
        self.committed = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def before_commit(self, path: Path) -> None:
        del path
        with self._counting:
            self.begun += 1
            self._die_if(f"before:{self.begun}")

    def after_commit(self, path: Path) -> None:
        del path
        self._die_if(f"after:{self.begun}")
        self._token.run_sync_soon(self._tell)

    def _die_if(self, here: str) -> None:
        if here == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def _tell(self) -> None:
        self.committed.set()
        self.committed = trio.Event()


@frozen
class Network:
    """What is outside: files, each line of which is on disk when it is written."""

    folder: Path

    def said(self) -> list[str]:
        return self._lines("said")

    def confirmed(self) -> list[str]:
        return self._lines("confirmed")

    def delivered(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._lines("delivered")]

    def append(self, name: str, line: str) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / name).open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []


@define(eq=False)
class Outside:
    """The channel to it."""

    network: Network
    repeat: Repeat
    channel_type: str = CHAT.channel_type
    confirmed: trio.Event = Factory(trio.Event)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        yield OutsideSender(self.network)

    async def receive(self, intake: Intake, /) -> None:
        for text in self.network.said():
            if text not in self.network.confirmed():
                await intake.offer(InboundEvent(CHAT, text, ChatMessage(text, text, "Ann", "outside:ann")))
                self.network.append("confirmed", text)
        self.confirmed.set()


@frozen
class OutsideSender:
    """Writes to the log."""

    network: Network

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        await trio.lowlevel.checkpoint()
        assert isinstance(outgoing.content, TextContent)
        values = {"key": outgoing.message_out_id, "text": outgoing.content.text}
        self.network.append("delivered", json.dumps(values))
        return Receipt(outgoing.message_out_id)

    async def typing(self, address: Address, /) -> None:
        """Nobody looks."""

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """Nobody looks."""


async def live(home: Path, *arguments: str) -> None:
    repeat, kill = arguments
    network, executor = Network(home.parent / "network"), KillingExecutor(kill)
    channel = Outside(network, cast("Repeat", repeat))
    async with open_host(config(home), channels=[channel], seams=Seams(executor=executor)) as host:
        if not network.said():
            await wire(host, CHAT)
            return
        await channel.confirmed.wait()
        await all_settled(home, executor)
    print(executor.begun)  # noqa: T201 -- for whoever started this


async def all_settled(home: Path, executor: KillingExecutor) -> None:
    """Wait until every message is done with and every delivery final."""
    [file] = await trio.to_thread.run_sync(lambda: list(home.glob("data/sessions/*/*/inbound/inbound.db")))
    async with open_reader(file, ThreadExecutor()) as reader:
        while True:
            committed = executor.committed
            if await reader.run(_settled):
                break
            await committed.wait()


def _settled(connection: apsw.Connection) -> bool:
    done = "SELECT count(*), count(*) FILTER (WHERE status = 'pending') FROM messages_in"
    final = "SELECT count(*), count(*) FILTER (WHERE status <> 'final') FROM deliveries"
    counts = [connection.execute(sql).fetchall()[0] for sql in (done, final)]
    return all(total and not left for total, left in counts)


if __name__ == "__main__":
    configure_logging("error", human=False)
    trio.run(live, Path(sys.argv[1]), *sys.argv[2:])
