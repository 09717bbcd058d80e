"""The simulated runner's way to its model: the real gateway, without sockets and threads."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from agent_runner.providers import HttpClient
from nanoclaw.gateway import LocalDoors, UpstreamAnswer, UpstreamFailed, UpstreamRequest


@frozen
class NoModels:
    """The servers of models in a world that has none. `World(model=…)` puts a fake model in their place."""

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        """Refuse: a simulation reaches no network. Raises UpstreamFailed."""
        if request.url:
            raise UpstreamFailed("this world has no model; give it one: World(model=…)")
        yield UpstreamAnswer(200, (), _nothing())


async def _nothing() -> AsyncIterator[bytes]:
    no: tuple[bytes, ...] = ()
    for chunk in no:
        yield chunk


@frozen
class GatewayClients:
    """Opens clients whose every request goes to the gateway of the world's host."""

    doors: LocalDoors
    path: Path
    """The runner's socket, if it had one."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[HttpClient]:
        """Open an `httpx2.AsyncClient` on the gateway."""
        from nanoclaw.testing.world.gateway_client import client_of  # noqa: PLC0415 -- httpx2 takes 0.1 s

        async with client_of(self.doors, self.path) as client:
            yield client
