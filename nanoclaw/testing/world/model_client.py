"""The provider `fake-model`: the real agent loop, with a client that needs no SDK and no HTTP library.

It speaks chat completions with the host's gateway as the provider `openai` does, and shares that provider's
translation.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

import trio
from attrs import frozen

from agent_runner.errors import ProviderError
from agent_runner.loop import LoopProvider, ModelClient, ModelReply, ModelRequest
from agent_runner.loop.errors import classify, unreachable
from agent_runner.loop.receiving import Receiving
from agent_runner.providers import ModelSettings, ProviderContext
from agent_runner.providers.openai import receive_chunk, request_body, spoken
from agent_runner.providers.sdks import receive_line, sdk_errors, server_said
from nanoclaw.gateway import Answer, AnswerCut, NoDoor, Request
from nanoclaw.testing.models.model import FAKE_MODEL
from nanoclaw.testing.world.gateway import GatewayClients

ERROR = 400
"""Answers with this status or a higher one are errors."""
PATH = "/chat/completions"
_HEADERS = (("content-type", "application/json"),)


@frozen
class PlainClient:
    """Implements `ModelClient`."""

    settings: ModelSettings
    gateway: GatewayClients

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Send a request and return the answer."""
        receiving = Receiving(streamed, spoken)
        content = json.dumps({**request_body(request), "stream": True}).encode()
        target = f"{self.settings.url.removeprefix('http://gateway')}{PATH}"
        with sdk_errors(request):
            try:
                await self._exchange(Request("POST", target, _HEADERS, content), receiving)
            except (NoDoor, AnswerCut) as error:
                raise unreachable(f"the model's server is not reached: {error}") from error
        return receiving.reply()

    async def _exchange(self, request: Request, receiving: Receiving) -> None:
        async with self.gateway.doors.ask(self.gateway.path, request) as answer:
            if answer.status >= ERROR:
                body = json.loads(b"".join([piece async for piece in answer.body]))
                raise classify(server_said(answer.status, body, "", dict(answer.headers), has_files=False))
            await _receive(answer, receiving)


async def _receive(answer: Answer, receiving: Receiving) -> None:
    async with aclosing(_lines(answer.body)) as lines:
        async for line in lines:
            if receive_line(line, partial(receive_chunk, receiving)):
                break


async def _lines(body: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


@asynccontextmanager
async def _open_client(context: ProviderContext, settings: ModelSettings) -> AsyncGenerator[ModelClient]:
    if not isinstance(context.http, GatewayClients):
        raise ProviderError(f"the provider {FAKE_MODEL!r} works in simulated worlds only")
    await trio.lowlevel.checkpoint()
    yield PlainClient(settings, context.http)


def provider() -> LoopProvider:
    """Return the provider."""
    return LoopProvider(FAKE_MODEL, _open_client)
