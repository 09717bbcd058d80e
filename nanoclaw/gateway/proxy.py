"""The core of the gateway: one request of a runner, from the checks to the count. It knows no sockets.

It adds the key, allows only the configured servers and paths, streams the answer, hides the key in it, bounds
size, rate and silence, counts tokens, and logs one line without bodies.
"""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal

import structlog
import trio
from attrs import Factory, define, evolve, field, frozen

from nanoclaw.gateway.counting import Counter, Counts, estimated_input
from nanoclaw.gateway.hiding import Hiding
from nanoclaw.gateway.keys import KeyUnavailable, read_key
from nanoclaw.gateway.limits import MAX_ANSWER, MAX_BODY, RunnerLimits
from nanoclaw.gateway.meter import Meter, ModelUsage, NoMeter, Pause, no_pause
from nanoclaw.gateway.models import SessionModels
from nanoclaw.gateway.refusals import Refused
from nanoclaw.gateway.targets import Target, checked_target
from nanoclaw.gateway.upstream import ModelServers, UpstreamAnswer, UpstreamFailed, UpstreamRequest

Headers = Sequence[tuple[str, str]]

SPEND_S = 1.0
"""The longest time to record what a request took."""
MAX_PARSED = 128 << 10
"""Bytes of a request that is parsed. A hostile one of 30 MB takes seconds, in which nothing else runs."""
_WITH_USAGE: Final = re.compile(rb'"include_usage": ?true')
_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length"}
)
_NOT_SENT: Final = _HOP | {
    *("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "host", "accept-encoding"),
    *("forwarded", "via"),
}
_NOT_RETURNED: Final = _HOP | {
    *(
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
        "content-encoding",
        "alt-svc",
        "location",
        "server",
        "via",
    ),
    *("strict-transport-security", "clear-site-data", "refresh"),
}

_log = structlog.get_logger()


class AnswerCut(Exception):
    """An answer ended before its end. Its beginning was passed on already."""


@frozen
class Caller:
    """The session that asks, and the models that it may ask."""

    session_id: str
    agent_group_id: str
    models: SessionModels
    limits: RunnerLimits = field(factory=RunnerLimits, eq=False, repr=False)


@frozen
class Request:
    """A request of a runner."""

    method: str
    target: str
    """Path and query."""
    headers: Headers = field(default=(), repr=False)
    """Names are in lower case."""
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        return next((value for each, value in self.headers if each == name), "")


@frozen
class Answer:
    """An answer for a runner."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    """Raises `AnswerCut` if the answer is cut."""


@define(eq=False)
class Proxy:
    """Serves the requests of all runners of a host."""

    models: ModelServers
    meter: Meter = Factory(NoMeter)

    @asynccontextmanager
    async def handle(
        self, caller: Caller, request: Request, pause: Pause = no_pause
    ) -> AsyncIterator[Answer]:
        """Yield the answer to a request. The exit ends the request at the model's server, and counts it.

        `pause` is awaited between the count and its commit.
        """
        exchange = _Exchange(caller, request, trio.current_time())
        try:
            async with AsyncExitStack() as stack:
                yield await self._answered(exchange, stack)
        finally:
            await self._spent(exchange, pause)

    async def _answered(self, exchange: "_Exchange", stack: AsyncExitStack) -> Answer:
        try:
            return await self._asked(exchange, stack)
        except Refused as refused:
            exchange.status, exchange.refusal, exchange.is_waiting = refused.status, refused, False
            return Answer(refused.status, refused.headers, _whole(refused.body))
        except Exception:
            exchange.is_waiting = False
            raise

    async def _asked(self, exchange: "_Exchange", stack: AsyncExitStack) -> Answer:
        caller, request = exchange.caller, exchange.request
        target = exchange.target = checked_target(
            caller.models, request.method, request.target, request.header("host")
        )
        stack.enter_context(caller.limits.admitted(trio.current_time()))
        if target.route.answers and (reason := self.meter.refusal(caller.session_id, caller.agent_group_id)):
            raise Refused("budget", reason)
        if len(request.body) > MAX_BODY:
            raise Refused("too_large", f"a request may have {MAX_BODY >> 20} MiB")
        key = await _key(target)
        exchange.is_waiting = target.route.answers
        answer = await self._answer(target, _upstream_request(target, request, key), stack)
        exchange.status, exchange.is_waiting = answer.status, False
        return _passed_on(exchange, answer, Hiding(key))

    async def _answer(
        self, target: Target, request: UpstreamRequest, stack: AsyncExitStack
    ) -> UpstreamAnswer:
        silence, server = target.model.timeout_s, target.model.base_url
        try:
            with trio.fail_after(silence):
                answer = await stack.enter_async_context(self.models.ask(request))
        except trio.TooSlowError:
            raise Refused("timeout", f"the model's server {server} sent nothing for {silence:g} s") from None
        except UpstreamFailed as error:
            raise Refused("upstream", f"the model's server {server} cannot be reached: {error}") from error
        if 300 <= answer.status < 400:  # noqa: PLR2004 -- redirects
            raise Refused("upstream", f"the model's server {server} redirects; correct base_url")
        return answer

    async def _spent(self, exchange: "_Exchange", pause: Pause) -> None:
        """Record and log a request. The runner, or the host, may be ending."""
        usage = exchange.usage()
        with trio.move_on_after(SPEND_S, shield=True) as limit:
            if usage is not None:
                await self.meter.spent(usage, pause)
        exchange.log(usage)
        if limit.cancelled_caught:
            _log.error("gateway.usage_not_recorded", session=exchange.caller.session_id)


async def _key(target: Target) -> str:
    """Return the key, or an empty string if none is needed."""
    if target.model.key is None or target.route.open:
        return ""
    try:
        return await read_key(target.model.key)
    except KeyUnavailable as error:
        raise Refused("key", f"the key of the model is not available: {error}") from None


def _upstream_request(target: Target, request: Request, key: str) -> UpstreamRequest:
    headers = [
        pair for pair in request.headers if pair[0] not in _NOT_SENT and not pair[0].startswith("proxy-")
    ]
    if key:
        bearer = target.route.wire == "openai"
        headers.append(("authorization", f"Bearer {key}") if bearer else ("x-api-key", key))
    headers.append(("accept-encoding", "identity"))
    if target.route.answers and target.route.wire == "openai":
        request = evolve(request, body=_with_usage(request.body))
    return UpstreamRequest(request.method, target.url, headers, request.body)


def _with_usage(body: bytes) -> bytes:
    """Return a request for a stream that asks for its usage, too. A large one is sent as it is."""
    if _WITH_USAGE.search(body) is not None:
        return body
    value = _parsed(body)
    if value is None or value.get("stream") is not True:
        return body
    options = value.get("stream_options")
    value["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Return a request as an object, or None if it is none, or so large that parsing would stop the host."""
    if len(body) > MAX_PARSED:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _passed_on(exchange: "_Exchange", answer: UpstreamAnswer, hiding: Hiding) -> Answer:
    target = exchange.target
    headers = [
        (name, hiding.header(value))
        for name, value in answer.headers
        if name not in _NOT_RETURNED and not name.startswith("proxy-")
    ]
    if target is not None and target.route.answers and answer.status < 400:  # noqa: PLR2004 -- not an error
        kind = next((value for name, value in headers if name == "content-type"), "")
        exchange.counter = Counter(target.route.wire, "event-stream" in kind)
    silence = target.model.timeout_s if target is not None else 0.0
    return Answer(answer.status, headers, _Body(answer.body, exchange, hiding, silence))


@define(eq=False)
class _Exchange:
    """One request, for its count and its log line."""

    caller: Caller
    request: Request
    began: float
    target: Target | None = None
    status: int = 0
    counter: Counter | None = None
    is_waiting: bool = False
    """True while the model's server has the request and has not answered. It costs if the runner leaves."""
    refusal: Refused | None = None
    cut: str | None = None
    """Why the answer was not passed on to its end."""

    def usage(self) -> ModelUsage | None:
        """Return what the request took; None if the model was not asked, or its server refused."""
        if self.target is None or (self.counter is None and not self.is_waiting):
            return None
        counts, model = self._counts(), self.target.model
        return ModelUsage(
            session_id=self.caller.session_id,
            agent_group_id=self.caller.agent_group_id,
            provider=model.provider,
            model=counts.model or _asked_model(self.request.body) or model.name,
            input_tokens=counts.input_tokens,
            cached_tokens=counts.cached_tokens,
            cache_write_tokens=counts.cache_write_tokens,
            output_tokens=counts.output_tokens,
            tool_calls=counts.tool_calls,
            base_url=model.base_url,
        )

    def _counts(self) -> Counts:
        """Return the counts of the answer. A runner that leaves before they come is charged an estimate."""
        if self.counter is None:
            counts = Counts()
        else:
            self.counter.end()
            counts = self.counter.counts()
        if counts.input_tokens or counts.cached_tokens or counts.cache_write_tokens:
            return counts
        return evolve(counts, input_tokens=estimated_input(self.request.body))

    def log(self, usage: ModelUsage | None) -> None:
        """Log one line."""
        provider = None if self.target is None else self.target.model.provider
        fields = {
            "session": self.caller.session_id,
            "provider": provider,
            "status": self.status,
            "seconds": round(trio.current_time() - self.began, 3),
        }
        if usage is not None:
            fields |= {"model": usage.model, "input": usage.input_tokens, "output": usage.output_tokens}
            fields |= {"cached": usage.cached_tokens, "tool_calls": usage.tool_calls}
        if self.refusal is not None:
            before = self.caller.limits.log_refusal(trio.current_time())
            if before is not None:
                fields |= {"kind": self.refusal.kind, "reason": str(self.refusal), "not_logged": before}
                _log.info("gateway.refused", **fields)  # the runner warns of the turn
        elif self.cut is not None:
            _log.warning("gateway.answer_cut", **fields, reason=self.cut)
        else:
            _log.info("gateway.request", **fields)


def _asked_model(body: bytes) -> str:
    name = (_parsed(body) or {}).get("model")
    return name[:200] if isinstance(name, str) and name.isprintable() else ""


@define(eq=False)
class _Body:
    """The body of an answer as it passes: timed, bounded, counted, and without the key."""

    _source: AsyncIterator[bytes]
    _exchange: _Exchange
    _hiding: Hiding
    _silence: float
    _left: int = MAX_ANSWER
    _state: Literal["open", "ended"] = "open"

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        while self._state == "open":
            chunk = await self._next()
            shown = self._hiding.end() if chunk is None else self._hiding.feed(chunk)
            if self._exchange.counter is not None:
                self._exchange.counter.feed(shown)  # without the key, since the model's name is recorded
            if shown:
                return shown
        raise StopAsyncIteration

    async def _next(self) -> bytes | None:
        try:
            with trio.fail_after(self._silence):
                chunk = await anext(self._source, None)
        except trio.TooSlowError:
            raise self._cut(f"the server sent nothing for {self._silence:g} s") from None
        except UpstreamFailed as error:
            raise self._cut(str(error)) from error
        if chunk is None:
            self._state = "ended"
            return None
        self._left -= len(chunk)
        if self._left < 0:
            raise self._cut(f"it has more than {MAX_ANSWER >> 20} MiB")
        return chunk

    def _cut(self, reason: str) -> AnswerCut:
        self._state = "ended"
        self._exchange.cut = reason
        return AnswerCut(reason)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
