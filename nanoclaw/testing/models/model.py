"""A fake model without a socket: a function from requests to responses."""

import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field, frozen

from nanoclaw.gateway import UpstreamAnswer, UpstreamFailed, UpstreamRequest
from nanoclaw.testing.models import wires
from nanoclaw.testing.models.answers import (
    Answers,
    ConnectionCut,
    ModelAnswer,
    ModelBreak,
    ModelFailure,
    ModelRequest,
    Reaction,
    Wire,
)
from nanoclaw.testing.models.failures import failure_body

FAKE_MODEL = "fake-model"
"""The name of the model, and of the provider that asks it in a world."""
JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
HTML = b"<html><body>The service is being updated.</body></html>"


@frozen
class ModelResponse:
    """A response whose body may come in pieces."""

    status: int
    """Its status."""
    headers: Mapping[str, str]
    """Its headers."""
    body: AsyncGenerator[bytes]
    """The body. It raises ConnectionCut where the connection is to be closed in the middle."""


@define(eq=False)
class FakeModel:
    """A fake model. It records its requests; `answers` may be replaced at any time."""

    answers: Answers
    """What it answers. A sequence that has ended is an error 500."""
    url: str = "http://model"
    """Its address, without `/v1`."""
    names: Sequence[str] = (FAKE_MODEL,)
    """The names of its models, for GET /v1/models."""
    keeps: bool = True
    """Whether it keeps its requests. Long runs would keep too much."""
    requests: list[ModelRequest] = field(factory=list, init=False)
    """The requests so far, oldest first."""
    asked: trio.Event = field(factory=trio.Event, init=False)
    """Set at the next request; then there is a new one."""
    _next: int = field(default=0, init=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        """Open an `httpx2.AsyncClient` whose every request goes to this model, without a socket.

        Fits `agent_runner.providers.HttpClients`, so a provider's SDK runs against it in virtual time.
        """
        from nanoclaw.testing.models.transport import client_of  # noqa: PLC0415 -- httpx2 is an extra

        async with client_of(self) as client:
            yield client

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        """Answer the gateway in the same process. So the model fits `Seams.models`."""
        path, headers = urlsplit(request.url).path, dict(request.headers)
        response = await self.respond(request.method, path, headers, request.body)
        try:
            yield UpstreamAnswer(response.status, list(response.headers.items()), _Uncut(response.body))
        finally:
            with trio.CancelScope(shield=True):
                await response.body.aclose()

    async def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ModelResponse:
        """Answer a request. `path` begins after the address, such as `/v1/messages`."""
        wire: Wire = "openai" if path.partition("?")[0].endswith("/chat/completions") else "anthropic"
        if method == "GET" and path.partition("?")[0].endswith("/models"):
            wire = "anthropic" if "anthropic-version" in headers else "openai"
            return _whole(200, wires.models(wire, self.names))
        try:
            parsed = json.loads(body)
        except ValueError:
            return _failure(wire, ModelFailure(400, "the body is not JSON"))
        request = ModelRequest(wire, path, headers, parsed)
        if self.keeps:
            self.requests.append(request)
        asked, self.asked = self.asked, trio.Event()
        asked.set()
        return await _response(request, await self._reaction(request))

    async def _reaction(self, request: ModelRequest) -> Reaction:
        answers = self.answers
        if callable(answers):
            found = answers(request)
            return await found if inspect.isawaitable(found) else found
        if isinstance(answers, Reaction):
            return answers
        self._next += 1
        if self._next > len(answers):
            return ModelFailure(500, f"the fake model has no answer to request {self._next}")
        return answers[self._next - 1]


@frozen
class _Uncut:
    """A body that raises UpstreamFailed where the connection would be closed.

    It is no generator: the garbage collector would finish one that is not read to its end, at any time.
    """

    pieces: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self.pieces)
        except ConnectionCut as error:
            raise UpstreamFailed("the connection was closed") from error


async def _response(request: ModelRequest, reaction: Reaction) -> ModelResponse:
    match reaction:
        case str():
            return await _response(request, ModelAnswer(reaction))
        case ModelFailure():
            return _failure(request.wire, reaction)
        case ModelBreak():
            return _broken(request, reaction)
        case ModelAnswer():
            await _wait(reaction.before)
            if not request.stream:
                return _whole(200, wires.whole(request, reaction))
            return ModelResponse(200, STREAM, _streamed(request, reaction))


def _failure(wire: Wire, failure: ModelFailure) -> ModelResponse:
    body = failure.body if failure.body is not None else wires.dump(failure_body(wire, failure))
    return _whole(failure.status, body, failure.headers)


def _whole(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ModelResponse:
    async def one() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield body

    return ModelResponse(status, {**JSON, **(headers or {}), "content-length": str(len(body))}, one())


async def _streamed(request: ModelRequest, answer: ModelAnswer) -> AsyncGenerator[bytes]:
    waits = True
    for data, is_text in wires.events(request, answer):
        await trio.lowlevel.checkpoint()
        yield data
        if is_text and waits:
            await _wait(answer.between)
            waits = not isinstance(answer.between, trio.Event)


def _broken(request: ModelRequest, broken: ModelBreak) -> ModelResponse:
    if broken.kind == "no events":
        return ModelResponse(200, {"content-type": "text/html"}, _pieces([HTML]))
    headers = STREAM if request.stream else JSON
    return ModelResponse(200, headers, _pieces(_beginning(request, broken), _ENDS[broken.kind]))


def _beginning(request: ModelRequest, broken: ModelBreak) -> Sequence[bytes]:
    """Return what comes before the break: the events up to the end of the text."""
    answer = ModelAnswer(broken.text)
    if not request.stream:
        return [wires.whole(request, answer)[:-20]] if broken.text else []
    found = list(wires.events(request, answer))
    last = max((n for n, (_, is_text) in enumerate(found) if is_text), default=-1)
    return [data for data, _ in found[: last + 1]]


async def _pieces(
    found: Sequence[bytes], end: Callable[[], Awaitable[bytes]] | None = None
) -> AsyncGenerator[bytes]:
    for piece in found:
        await trio.lowlevel.checkpoint()
        yield piece
    if end is not None:
        yield await end()


async def _cut() -> bytes:
    await trio.lowlevel.checkpoint()
    raise ConnectionCut


async def _no_json() -> bytes:
    await trio.lowlevel.checkpoint()
    return b"event: message_delta\ndata: {this is no JSON\n\n"


async def _silence() -> bytes:
    await trio.sleep_forever()


_ENDS: Mapping[str, Callable[[], Awaitable[bytes]]] = {
    "cut": _cut,
    "no json": _no_json,
    "silent": _silence,
}


async def _wait(pause: trio.Event | float) -> None:
    if isinstance(pause, trio.Event):
        await pause.wait()
    elif pause:
        await trio.sleep(pause)
