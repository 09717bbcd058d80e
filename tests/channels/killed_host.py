"""`nanoclaw run --headless` as a process that tests of channels kill."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

import nanoclaw
from nanoclaw import Address
from nanoclaw.testing import FakeChannel
from tests.host.homes import config, only_session, rows


async def prepare(home: Path, table: str, chat: Address) -> None:
    """Make a home with a channel, whose chat is open to everybody and answered by the agent `main`."""
    waits = "backoff_s = [0.02, 0.02, 0.02]"
    await trio.Path(home).mkdir(exist_ok=True)
    await (trio.Path(home) / "config.toml").write_text(f'timezone = "UTC"\n[delivery]\n{waits}\n{table}')
    async with nanoclaw.open_host(config(home), channels=[FakeChannel()]) as host:
        await host.admin.wirings.connect(chat, "main", policy="public")


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[trio.Process]:
    """Run the host while the context is open, and kill it then, with everything that it started."""
    command = [sys.executable, "-m", "nanoclaw", "run", "--headless", "--home", str(home)]
    log = (home / "log").open("ab")
    process = await trio.lowlevel.open_process(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
        log.close()


def stored_texts(home: Path) -> list[str]:
    """Return the texts of users that the only session has stored. No host may run."""
    file = only_session(home).inbound_db
    sql = "SELECT json_extract(content, '$.text') FROM messages_in WHERE kind = 'chat' ORDER BY seq"
    return [str(text) for (text,) in rows(file, sql)]
