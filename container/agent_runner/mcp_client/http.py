"""The transport to an MCP server with an address: streamable HTTP, through the proxy of the sandbox."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from agent_runner.providers.mcp_servers import McpServer

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer that is no stream of events. The SDK bounds each event."""
TIMEOUT = httpx2.Timeout(30.0, read=3600.0)


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails when it is too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = LARGEST_ANSWER
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.DecodingError(f"an answer has more than {LARGEST_ANSWER // 2**20} MiB")
            yield chunk

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    if not is_stream and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


@asynccontextmanager
async def open_address(server: McpServer) -> AsyncGenerator[TransportStreams]:
    """Open the streams to a server. Errors of the connection appear at the first request."""
    client = httpx2.AsyncClient(
        headers=dict(server.headers), timeout=TIMEOUT, event_hooks={"response": [_bound]}
    )
    async with client, streamable_http_client(server.url, http_client=client) as streams:
        yield streams
