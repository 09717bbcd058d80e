"""`nanoclaw run --headless` as a process that tests of channels kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nanoclaw
from nanoclaw import Address
from nanoclaw.config import load_config
from nanoclaw.testing import FakeChannel


async def prepare(home: Path, table: str, chat: Address) -> None:
    """Make a home with a channel, whose chat is open to everybody and answered by the agent `main`."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(f'timezone = "UTC"\n{table}')
    async with nanoclaw.open_host(plain, channels=[FakeChannel()]) as host:
        await host.admin.wirings.connect(chat, "main", policy="public")
