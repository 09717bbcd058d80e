"""What the clients of models' SDKs share: loading an SDK, and its errors as ours."""

import gc
import json
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from typing import Any

import trio

from agent_runner.background import background
from agent_runner.foreign import describe
from agent_runner.loop.client import ModelRequest
from agent_runner.loop.errors import ModelError, Problem, ServerSaid, classify, not_an_answer, unreachable

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
    if package in sys.modules:
        return sys.modules[package]
    return await trio.to_thread.run_sync(_import_sdk, package, abandon_on_cancel=True)


def _import_sdk(package: str) -> Any:
    try:
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
    """Pause the collector, which takes a third of the time in which an SDK makes its thousands of classes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def without_thread(client: Any) -> Any:
    """Let a client of an SDK name its platform at once. Else its first request asks a thread for it."""
    base = import_module(f"{type(client).__module__.partition('.')[0]}._base_client")
    client._platform = base.get_platform()  # noqa: SLF001 -- there is no public way
    return client


async def events(response: Any) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events, up to its end. Raises ModelError.

    The SDKs' own iterators stop at `[DONE]` and leave generators behind, which the collector then finishes at
    any time.
    """
    async for line in response.iter_lines():
        if (event := event_of(line)) is not None:
            yield event


def event_of(line: str) -> Mapping[str, Any] | None:
    """Return the JSON object in a line of server-sent events; None if there is none. Raises ModelError."""
    if not line.startswith("data:") or line.endswith("[DONE]"):
        return None
    value = json.loads(line[5:])
    if not isinstance(value, dict):
        raise not_an_answer(f"an event is {line[5:105]!r}, not a JSON object")
    if value.get("error"):
        raise classify(server_said(200, value, value["error"], {}, has_files=False))
    return value


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
    if any(kind.__name__ in _OF_THE_ROAD for kind in type(error).__mro__):
        return unreachable(f"the model's server is not reached: {describe(error.__cause__ or error)}")
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
