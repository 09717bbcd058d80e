"""What the clients of models' SDKs share: loading an SDK, and its errors as ours."""

import gc
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from typing import Any

import trio
from attrs import define, field, frozen

from agent_runner.background import background
from agent_runner.foreign import describe
from agent_runner.loop.client import ModelRequest
from agent_runner.loop.errors import ModelError, Problem, ServerSaid, classify, not_an_answer, unreachable
from agent_runner.providers import HttpClient, ModelSettings, ProviderContext
from agent_runner.providers.reexports import defer_reexports

NO_KEY = "the-gateway-adds-the-key"
"""Sent in place of a key, which no runner has."""
_OF_THE_ROAD = {"APIConnectionError", "TransportError", "TimeoutException"}
"""Classes of errors of the SDKs and of httpx2 for a server that is not reached, or breaks off."""
_STATUS_OF_KIND: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}
"""The statuses of errors that come in the middle of a stream, which has status 200."""
_OF_ONE_BODY = {b"content-length", b"transfer-encoding"}
"""Headers of a request that depend on its body."""
_MOST_TOKENS = 10**9
"""A larger number of tokens is none."""


@asynccontextmanager
async def loading(package: str, *, now: bool) -> AsyncGenerator[None]:
    """Load an SDK while the block runs, if `now`. An error is left to `load_sdk`."""

    async def load() -> None:
        with suppress(ModelError):
            await load_sdk(package)

    async with background(load if now else trio.lowlevel.checkpoint):
        yield


async def load_sdk(package: str) -> Any:
    """Import an SDK, in a thread because that takes up to a second. Raises ModelError."""
    found = sys.modules.get(package)
    if found is not None and not getattr(found.__spec__, "_initializing", False):  # it may just be imported
        return found
    return await trio.to_thread.run_sync(_import_sdk, package, abandon_on_cancel=True)


def _import_sdk(package: str) -> Any:
    try:
        defer_reexports(package)
        with _no_garbage_collection():
            return import_module(package)
    except ImportError as error:
        command = f"pip install 'nanoclaw[{package}]'"
        raise ModelError(
            Problem.FATAL,
            f"the SDK {package!r} is not installed where the runner runs: {error}; {command}",
            f"The software for this model is missing. Owner: {command}, where the agent runs.",
        ) from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the collector, which takes a sixth of the time in which an SDK makes its thousands of classes.

    It never looks at these classes later, either: they stay.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


@define(eq=False)
class SdkClient:
    """A client of an SDK. It is made for the first request."""

    _package: str
    _client_class: str
    _settings: ModelSettings
    _http: HttpClient
    _made: Any = field(default=None, init=False)
    _prepared: dict[str, "_Prepared"] = field(factory=dict, init=False)
    """What the SDK made of the first request of each path."""

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[Any]:
        """Send a request for a stream, and yield the `httpx2.Response` when its head is there.

        The methods of the SDKs for each kind of request would first look at all that they might convert in
        the body, which takes 0.15 ms a message. Raises ModelError if the SDK is not installed, errors of the
        SDK and of httpx2, and _StatusError.
        """
        whole = {**body, "stream": True}
        prepared = self._prepared.get(path)
        response = await (self._first(path, whole) if prepared is None else prepared.send(self._http, whole))
        try:
            yield response
        finally:
            await response.aclose()

    async def _first(self, path: str, body: Mapping[str, object]) -> Any:
        """Have the SDK send a request, and keep what the next ones have in common with it."""
        client = await self._get()
        response = await client.post(path, cast_to=import_module("httpx2").Response, body=body, stream=True)
        self._prepared[path] = _Prepared.of(response.request)
        return response

    async def _get(self) -> Any:
        """Return the client. Raises ModelError if the SDK is not installed."""
        if self._made is None:
            sdk = await load_sdk(self._package)
            client = getattr(sdk, self._client_class)(
                api_key=NO_KEY,
                base_url=self._settings.url,
                max_retries=0,
                timeout=self._settings.timeout_s,
                http_client=self._http,
            )
            self._made = _without_thread(client)
        return self._made


class _StatusError(Exception):
    """A status that is an error. It has the attributes of such errors of the SDKs."""

    def __init__(self, response: Any, text: str) -> None:
        super().__init__(text or f"status {response.status_code}")
        self.response, self.status_code, self.body = response, response.status_code, _json_or_text(text)


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@frozen
class _Prepared:
    """The parts of a request that an SDK makes alike for each body: they take it most of its time."""

    method: str
    url: object
    headers: Sequence[tuple[bytes, bytes]]
    extensions: Mapping[str, object]

    @classmethod
    def of(cls, request: Any) -> "_Prepared":
        """Return these parts of a request that was sent."""
        headers = [pair for pair in request.headers.raw if pair[0].lower() not in _OF_ONE_BODY]
        return cls(request.method, request.url, headers, dict(request.extensions))

    async def send(self, http: Any, body: Mapping[str, object]) -> Any:
        """Send another body, and return the response. Raises _StatusError and errors of httpx2."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        request = import_module("httpx2").Request(
            self.method, self.url, headers=self.headers, content=content, extensions=dict(self.extensions)
        )
        response = await http.send(request, stream=True)
        if response.is_success:
            return response
        try:
            text = (await response.aread()).decode("utf-8", "replace")
        finally:
            await response.aclose()
        raise _StatusError(response, text)


@asynccontextmanager
async def open_sdk(
    package: str, client_class: str, context: ProviderContext, settings: ModelSettings
) -> AsyncGenerator[SdkClient]:
    """Open a client. The SDK is loaded at once for the first model, and for a fallback when it is asked."""
    async with context.http.open() as http, loading(package, now=settings is context.model):
        yield SdkClient(package, client_class, settings, http)


def _without_thread(client: Any) -> Any:
    """Let a client of an SDK name its platform at once. Else its first request asks a thread for it."""
    base = import_module(f"{type(client).__module__.partition('.')[0]}._base_client")
    client._platform = base.get_platform()  # noqa: SLF001 -- there is no public way
    return client


async def receive_events(response: Any, receive: Callable[[Mapping[str, Any]], bool]) -> None:
    """Pass the JSON objects of a stream of server-sent events to `receive`, until it returns True.

    The SDKs' own iterators leave generators behind, which the collector then finishes at any time. Here the
    response is closed and read on, so that all generators end. Raises ModelError, and errors of `receive`.
    """
    lines, failure, closed = _Lines(), None, False
    try:
        async for chunk in response.aiter_bytes():
            if closed:
                continue
            try:
                closed = any(receive_line(line, receive) for line in lines.feed(chunk))
            except Exception as error:  # noqa: BLE001 -- raised below
                failure, closed = error, True
            if closed:
                await response.aclose()
    except Exception:
        if not closed:
            raise
    if not closed:
        receive_line(lines.rest(), receive)
    if failure is not None:
        raise failure


@define(eq=False)
class _Lines:
    """Splits a stream into lines. Other ends of lines that httpx2 knows, such as U+2028, may be in JSON."""

    _parts: list[bytes] = field(factory=list, init=False)
    """The beginning of a line."""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that the chunk ends."""
        for line in chunk.splitlines(keepends=True):  # of bytes, it knows only CR and LF
            self._parts.append(line)
            if line.endswith((b"\n", b"\r")):
                yield self.rest()

    def rest(self) -> str:
        """Return what has come of the line, and begin the next."""
        line, self._parts = b"".join(self._parts), []
        return line.decode("utf-8", "replace").rstrip("\r\n")


def receive_line(line: str, receive: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Pass the JSON object of a line to `receive`, if there is one. Raises ModelError, ValueError."""
    if not line.startswith("data:") or line.endswith("[DONE]"):
        return False
    value = json.loads(line[5:])
    if not isinstance(value, dict):
        raise not_an_answer(f"an event is {line[5:105]!r}, not a JSON object")
    if value.get("error"):
        raise classify(server_said(200, value, value["error"], {}, has_files=False))
    return receive(value)


def token_count(reported: object, name: str) -> int | None:
    """Return a number of tokens that a server reports, or None if that is none."""
    value = reported.get(name) if isinstance(reported, Mapping) else None
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if is_count else None


@contextmanager
def sdk_errors(request: ModelRequest) -> Iterator[None]:
    """Raise errors of an SDK as ModelError. Whatever an SDK stumbles over in an answer is a bad answer."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise _model_error(error, request) from error


def _model_error(error: Exception, request: ModelRequest) -> ModelError:
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        return classify(server_said(status, body, error, headers, has_files=request.has_files))
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & _OF_THE_ROAD:
        words = f"the model's server is not reached: {describe(error.__cause__ or error)}"
        return unreachable(words, is_silence=bool(kinds & {"APITimeoutError", "ReadTimeout"}))
    return not_an_answer(describe(error))


def server_said(
    status: int, body: object, error: object, headers: Mapping[str, str], *, has_files: bool
) -> ServerSaid:
    """Return what a server said, from the parsed body of its response and the SDK's error."""
    found = body.get("error", body) if isinstance(body, Mapping) else {}
    details = found if isinstance(found, Mapping) else {"message": str(found)}
    names = [str(details[key]) for key in ("type", "code") if details.get(key)]
    message = str(details.get("message") or getattr(error, "message", "") or error)
    return ServerSaid(
        status=status if status >= 400 else _status_in_stream(details),  # noqa: PLR2004 -- an error status
        kind=names[0] if names and names[0].startswith("nanoclaw_") else " ".join(names),
        message=message,
        headers={name.lower(): value for name, value in headers.items()},
        has_files=has_files,
    )


def _status_in_stream(details: Mapping[str, object]) -> int:
    code = details.get("code")
    known = _STATUS_OF_KIND.get(str(details.get("type")), 500)
    return code if isinstance(code, int) and 400 <= code < 600 else known  # noqa: PLR2004 -- statuses
