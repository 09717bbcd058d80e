"""A client of httpx2 whose requests go to a fake model in the same process."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

import httpx2
import trio

from nanoclaw.testing.models.answers import ConnectionCut
from nanoclaw.testing.models.model import FakeModel

T = TypeVar("T")


class _Body(httpx2.AsyncByteStream):
    def __init__(self, pieces: AsyncGenerator[bytes], request: httpx2.Request) -> None:
        self._pieces, self._request = pieces, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await _soon(self._request, anext(self._pieces, None))) is not None:
                yield piece
        except ConnectionCut as error:
            raise httpx2.RemoteProtocolError("the connection was closed", request=self._request) from error

    async def aclose(self) -> None:
        await self._pieces.aclose()


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, model: FakeModel) -> None:
        self._model = model

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, body = request.url.raw_path.decode(), await request.aread()
        response = await _soon(request, self._model.respond(request.method, path, headers, body))
        stream = _Body(response.body, request)
        return httpx2.Response(response.status, headers=dict(response.headers), stream=stream)


async def _soon(request: httpx2.Request, awaited: Awaitable[T]) -> T:
    """Await a part of the answer for as long as the client's timeout for reading allows."""
    limit = request.extensions.get("timeout", {}).get("read")
    try:
        with trio.fail_after(math.inf if limit is None else limit):
            return await awaited
    except trio.TooSlowError as error:
        raise httpx2.ReadTimeout("nothing came in time", request=request) from error


def client_of(model: FakeModel) -> httpx2.AsyncClient:
    """Return a client whose every request goes to this model."""
    return httpx2.AsyncClient(transport=_Transport(model))
