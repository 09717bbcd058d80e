"""A client of httpx2 whose requests go to the gateway of a host in the same process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
from attrs import frozen

from nanoclaw.gateway import Answer, AnswerCut, LocalDoors, NoDoor, Request


class _Body(httpx2.AsyncByteStream):
    """The body of an answer. Closing it ends the request at the gateway."""

    def __init__(self, answer: Answer, stack: AsyncExitStack, request: httpx2.Request) -> None:
        self._answer, self._stack, self._request = answer, stack, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.body:
                yield chunk
        except AnswerCut as error:
            raise httpx2.RemoteProtocolError(str(error), request=self._request) from error

    async def aclose(self) -> None:
        await self._stack.aclose()


@frozen
class _Transport(httpx2.AsyncBaseTransport):
    doors: LocalDoors
    path: Path

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = [(name.lower(), value) for name, value in request.headers.multi_items()]
        asked = Request(request.method, request.url.raw_path.decode(), headers, await request.aread())
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self.doors.ask(self.path, asked))
            except NoDoor as error:
                raise httpx2.ConnectError(str(error), request=request) from error
            body = _Body(answer, stack.pop_all(), request)
        return httpx2.Response(answer.status, headers=list(answer.headers), stream=body)


def client_of(doors: LocalDoors, path: Path) -> httpx2.AsyncClient:
    """Return a client whose every request goes through the door at `path`. The gateway bounds the silence."""
    return httpx2.AsyncClient(transport=_Transport(doors, path), timeout=None, trust_env=False)
