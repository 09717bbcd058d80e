"""A provider for simulated worlds: the real agent loop, with a client that needs no SDK.

It speaks chat completions over the runner's HTTP client, as the provider `openai` does, and shares that
provider's translation.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from attrs import frozen

from agent_runner.loop import LoopProvider, ModelClient, ModelReply, ModelRequest
from agent_runner.loop.errors import classify
from agent_runner.loop.receiving import Receiving
from agent_runner.providers import HttpClient, HttpResponse, ModelSettings, ProviderContext
from agent_runner.providers.openai import receive_chunk, request_body, spoken
from agent_runner.providers.sdks import event_of, sdk_errors, server_said
from nanoclaw.testing.models.model import FAKE_MODEL

ERROR = 400
"""Responses with this status or a higher one are errors."""
_HEADERS = {"content-type": "application/json"}


@frozen
class PlainClient:
    """Implements `ModelClient`."""

    settings: ModelSettings
    http: HttpClient

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Send a request and return the answer."""
        receiving = Receiving(streamed, spoken)
        content = json.dumps({**request_body(request), "stream": True}).encode()
        url = f"{self.settings.url}/chat/completions"
        with sdk_errors(request):
            async with self.http.stream("POST", url, content=content, headers=_HEADERS) as response:
                await _receive(response, receiving, has_files=request.has_files)
        return receiving.reply()


async def _receive(response: HttpResponse, receiving: Receiving, *, has_files: bool) -> None:
    status = response.status_code
    if status >= ERROR:
        body = json.loads(await response.aread())
        raise classify(server_said(status, body, "", response.headers, has_files=has_files))
    async with aclosing(_lines(response.aiter_bytes())) as lines:
        async for line in lines:
            if (chunk := event_of(line)) is not None:
                receive_chunk(receiving, chunk)
            if receiving.is_full:
                break


async def _lines(body: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


@asynccontextmanager
async def _open_client(context: ProviderContext, settings: ModelSettings) -> AsyncGenerator[ModelClient]:
    async with context.http.open() as http:
        yield PlainClient(settings, http)


def provider() -> LoopProvider:
    """Return the provider `fake-model`."""
    return LoopProvider(FAKE_MODEL, _open_client)
