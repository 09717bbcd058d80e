"""Homes with many sessions, made without a host, and host programs that start on them."""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from subprocess import DEVNULL, PIPE

import trio

from nanoclaw.records import Address, AgentGroup, MessagingGroup, Session, SessionPaths
from nanoclaw.store import Connection, ThreadExecutor, create_outbound, own_central, own_inbound
from nanoclaw.store.central import agent_groups, messaging_groups, sessions
from nanoclaw.store.session import messages_in
from nanoclaw.system.clock import SystemClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = AgentGroup("ag-bench", "Bench", "bench", None, NOW)


async def make_home(home: Path, count: int, *, waiting: bool) -> None:
    """Make a home with `count` sessions. With `waiting`, each has a message that is due in a month."""
    executor, clock, random = ThreadExecutor(), SystemClock(), Random(1)
    async with own_central(home / "data", executor=executor, clock=clock, random=random) as writer:
        await writer.run(_rows, count)
    template = SessionPaths.of(home / "data", GROUP.id, "sess-template")
    async with own_inbound(template, executor=executor, clock=clock, random=random) as writer:
        await executor.run(partial(create_outbound, template, owner=None))
        if waiting:
            await writer.run(_wait_for_a_month, clock.now())
    for n in range(count):
        shutil.copytree(template.root, template.root.with_name(f"sess-{n}"))
    shutil.rmtree(template.root)


def _rows(connection: Connection, count: int) -> None:
    agent_groups.create(connection, GROUP)
    for n in range(count):
        chat = MessagingGroup(f"mg-{n}", "bench", f"chat-{n}", None, False, "public", NOW)  # noqa: FBT003 -- a record
        messaging_groups.create(connection, chat)
        sessions.create(
            connection, Session(f"sess-{n}", GROUP.id, chat.id, None, None, "active", "stopped", None, NOW)
        )


def _wait_for_a_month(connection: Connection, now: datetime) -> None:
    address = Address("bench", "chat")
    message = messages_in.NewMessage("in-waiting", "chat", now, address, '{"id": "e", "text": "later"}')
    messages_in.insert(connection, message)
    messages_in.postpone(connection, "in-waiting", 0, now + timedelta(days=30))


@asynccontextmanager
async def host_program(home: Path) -> AsyncIterator["HostProgram"]:
    """Run `python -m nanoclaw run --headless` on a home."""
    command = [
        sys.executable,
        "-m",
        "nanoclaw",
        "run",
        "--headless",
        "--home",
        str(home),
        "--log-level",
        "info",
    ]
    process = await trio.lowlevel.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    try:
        yield HostProgram(process)
        process.terminate()
        with trio.move_on_after(20):
            await process.wait()
    finally:
        process.kill()


class HostProgram:
    """A host program and its log."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._log = b""

    async def logged(self, event: str) -> None:
        """Wait for an event in the log."""
        assert self.process.stderr is not None
        wanted = f'"event": "{event}"'.encode()
        while wanted not in self._log:
            chunk = await self.process.stderr.receive_some()
            if not chunk:
                raise RuntimeError(f"the host ended before {event!r}: {self._log.decode()[-2000:]}")
            self._log += chunk
