"""The models of a simulated world: a fake model in place of every server that the gateway may ask."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from agent_runner.providers import Provider
from nanoclaw.gateway import Models, UpstreamAnswer, UpstreamFailed, UpstreamRequest
from nanoclaw.testing.models import FakeModel
from nanoclaw.testing.models.answers import ConnectionCut
from nanoclaw.testing.models.model import FAKE_MODEL
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.kill_switch import KillSwitch

SETTINGS: Mapping[str, Any] = {
    "model.provider": FAKE_MODEL,
    "model.name": FAKE_MODEL,
    "model.base_url": "http://fake-model/v1",
}
"""The configuration of a world with a model, unless its settings name others."""


def fake_model_provider() -> Provider:
    """Return the provider `fake-model`: the real agent loop, with a client that needs no SDK."""
    from nanoclaw.testing.world.model_client import provider  # noqa: PLC0415 -- the loop is not for every world

    return provider()


@frozen
class FakeModels:
    """Lets a fake model answer all requests, whichever server they are for."""

    model: FakeModel

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncGenerator[UpstreamAnswer]:
        """Ask the model."""
        path = urlsplit(request.url)._replace(scheme="", netloc="").geturl()
        response = await self.model.respond(request.method, path, dict(request.headers), request.body)
        async with aclosing(response.body) as pieces:
            yield UpstreamAnswer(response.status, tuple(response.headers.items()), _Body(pieces))


@frozen
class _Body:
    """The body of an answer. It is no generator, which would be left to the garbage collector."""

    pieces: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self.pieces)
        except ConnectionCut:
            raise UpstreamFailed("the connection was closed") from None


@frozen
class KillableModels:
    """The servers of models as one run of the host sees them: its death breaks all connections."""

    models: Models
    switch: KillSwitch

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncGenerator[UpstreamAnswer]:
        """Ask, unless the host is dead."""
        async with AsyncExitStack() as stack:
            with _broken(), self.switch.holding():
                answer = await stack.enter_async_context(self.models.ask(request))
            yield UpstreamAnswer(answer.status, answer.headers, _Living(answer.body, self.switch))


@frozen
class _Living:
    """A body that breaks off when the host dies. It is no generator, so that each read has its own scope."""

    body: AsyncIterator[bytes]
    switch: KillSwitch

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _broken(), self.switch.holding():
            return await anext(self.body)


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except HostKilled:
        raise UpstreamFailed("the host is dead") from None
