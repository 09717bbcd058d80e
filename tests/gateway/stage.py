"""A gateway with real sockets before a server on loopback, and clients that ask it as a runner does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import httpx2
import trio
from attrs import Factory, define, frozen

from actors import Policy, Supervisor
from agent_runner.system import HttpxClients
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway import (
    Caller,
    Gateway,
    HttpServers,
    Model,
    ModelUsage,
    Proxy,
    SessionModels,
    open_gateway,
)
from nanoclaw.gateway.doors import DoorKeeper, SocketGateway
from nanoclaw.gateway.meter import Pause, no_pause
from nanoclaw.system.supervision import Supervision
from tests.gateway.upstreams import Answerer, Upstream, open_upstream

KEY = "sk-secret-0123456789"
VARIABLE = "MY_MODEL_KEY"
GUARD_S = 20.0
"""An upper bound on a hang; nothing waits for it."""


def model(
    base_url: str | None, provider: str = "openai", *, key: bool = True, timeout_s: float = 30.0
) -> Model:
    place = KeyConfig(env=VARIABLE) if key else None
    return Model(provider, "a-model", base_url, place, 100, timeout_s)


@define(eq=False)
class Book:
    """A meter that keeps what was spent."""

    reason: str | None = None
    spendings: list[ModelUsage] = Factory(list)
    written: list[ModelUsage] = Factory(list)
    """Those of `spendings` whose pause is over."""
    told: trio.Event = Factory(trio.Event)

    def refusal(self, _session_id: str, _agent_group_id: str) -> str | None:
        return self.reason

    async def spent(self, usage: ModelUsage, pause: Pause = no_pause, /) -> None:
        self.spendings.append(usage)
        self.told.set()
        await pause()
        self.written.append(usage)


@frozen
class Break:
    """A signal whose handler fails."""

    async def handle(self, _actor: DoorKeeper) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("broken on purpose")


@define(eq=False)
class Stage:
    """The gateway, its server, and the folder of its sockets."""

    home: Path
    upstream: Upstream
    root: Supervisor
    gateway: Gateway
    meter: Book
    _stack: AsyncExitStack
    default: SessionModels

    def socket(self, session: str) -> Path:
        return self.home / session / "gateway" / "model.sock"

    async def client(self, session: str = "s1", models: SessionModels | None = None) -> httpx2.AsyncClient:
        """Open a session's door, and return the client of its runner."""
        path = self.socket(session)
        await self._stack.enter_async_context(self.gateway.door(path, self.caller(session, models)))
        client = await self._stack.enter_async_context(HttpxClients(path).open())
        assert isinstance(client, httpx2.AsyncClient)
        return client

    def caller(self, session: str, models: SessionModels | None = None) -> Caller:
        return Caller(session, "agent", models or self.default)

    def crash(self) -> None:
        """Let the gateway's actor crash."""
        assert isinstance(self.gateway, SocketGateway)
        self.gateway.keeper.signal(Break())

    async def connection(self, session: str = "s1") -> trio.SocketStream:
        """Connect as a program that does not speak HTTP well."""
        return await trio.open_unix_socket(self.socket(session))


@asynccontextmanager
async def a_stage(home: Path, answer: Answerer, provider: str = "openai") -> AsyncIterator[Stage]:
    meter, supervision = Book(), Supervision(Random(1))
    with trio.fail_after(GUARD_S):
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(open_upstream(answer))
            models = HttpServers()
            stack.push_async_callback(models.aclose)
            root = await stack.enter_async_context(supervision.open("host", under=None, policy=Policy()))
            proxy = Proxy(models, meter)
            gateway = await stack.enter_async_context(open_gateway(proxy, supervision, under=root))
            base = upstream.url if provider == "anthropic" else f"{upstream.url}/v1"
            default = SessionModels(model(base, provider))
            yield Stage(home, upstream, root, gateway, meter, stack, default)
