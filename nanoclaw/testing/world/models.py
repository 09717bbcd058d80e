"""The models of a simulated world: a fake model in place of every server that the gateway may ask."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from attrs import frozen

from agent_runner.providers import Provider
from nanoclaw.gateway import ModelServers, UpstreamAnswer, UpstreamFailed, UpstreamRequest
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
class KillableModels:
    """The servers of models as one run of the host sees them: its death breaks all connections."""

    models: ModelServers
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
