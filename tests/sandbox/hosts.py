"""Hosts whose agents run in real sandboxes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from nanoclaw.host import Host, open_host
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config
from tests.sandbox.needed import need_bubblewrap


@asynccontextmanager
async def sandboxed(home: Path, channel: FakeChannel, **changes: Any) -> AsyncIterator[Host]:
    """Open a host with the runtime `bubblewrap` and one wired chat."""
    need_bubblewrap()
    settings = config(home, **{"sandbox": {"runtime": "bubblewrap"}, **changes})
    with trio.fail_after(GUARD_S * 2):
        async with open_host(settings, channels=[channel]) as host:
            await wire(host, channel.address())
            yield host
