"""Hosts whose runners are containers of a real engine, and what can be seen of these."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import trio

from nanoclaw.config import Config, config_of
from nanoclaw.config.costs import NO_BUDGETS
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.testing import FakeChannel, wire
from tests.engine.fixtures import EngineForTests
from tests.engine.private_engine import PrivateEngine

GUARD_S = 60.0
"""An upper bound on a hang; nothing waits for it."""


def config(home: Path, socket: Path, image: str | None, **changes: Any) -> Config:
    """Return the configuration of a host with the docker runtime, which retries at once.

    Without an image, the host builds its own.
    """
    settings: dict[str, Any] = {
        "timezone": "UTC",
        **NO_BUDGETS,
        "retry.base_s": 0.02,
        "delivery.backoff_s": (0.02, 0.02),
        "runtime.backoff_s": 0.05,
        "sandbox.runtime": "docker",
        "runtimes.docker.socket": str(socket),
        **({} if image is None else {"runtimes.docker.image": image}),
        "sandbox.disk_reserve": "4M",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return config_of(home, settings)


@asynccontextmanager
async def docker_host(
    home: Path, engine: EngineForTests, channel: FakeChannel, *, seams: Seams | None = None, **changes: Any
) -> AsyncIterator[Host]:
    """Open a host on an engine, with one chat that is wired to one agent."""
    settings = config(home, engine.socket, engine.image, **changes)
    async with open_host(settings, channels=[channel], seams=seams) as host:
        await wire(host, channel.address())
        yield host


async def install_of(host: Host) -> str:
    """Return the id of the host's installation."""
    found = await host.central.run(
        lambda connection: connection.execute("SELECT value FROM meta WHERE key = 'install_id'").fetchone()
    )
    assert found is not None
    return str(found[0])


def containers(engine: PrivateEngine, install_id: str | None = None) -> Sequence[dict[str, Any]]:
    """Return the engine's containers, dead ones too: all of them, or those of an installation."""
    label = "nanoclaw.install" if install_id is None else f"nanoclaw.install={install_id}"
    with engine.client() as client:
        return list(client.containers(all=True, filters={"label": label}))


def tries_of(home: Path) -> Sequence[int]:
    """Return the tries of all messages of a host that has stopped."""
    found = list[int]()
    for file in (home / "data" / "sessions").glob("*/*/inbound/inbound.db"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            found += [tries for (tries,) in connection.execute("SELECT tries FROM messages_in")]
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something outside of this process is so."""
    while not condition():  # noqa: ASYNC110 -- it has no event
        await trio.sleep(0.05)
