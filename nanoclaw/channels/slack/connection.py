"""The connection to Slack: the one module that knows slack_sdk, asyncio inside, trio outside."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

from nanoclaw.channels.asyncio_loop import AsyncioLoop, open_asyncio_loop
from nanoclaw.channels.extras import install_command
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.config.errors import ConfigError

if TYPE_CHECKING:
    from slack_sdk.socket_mode.aiohttp import SocketModeClient
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web.async_client import AsyncWebClient

CALL_S = 30.0
"""Time limit of one call in seconds."""
CONNECT_S = 15.0
"""Time limit in seconds of opening a socket, its first message included."""
PING_S = 10.0
"""Seconds between pings. A socket whose pings are not answered for four times as long is replaced."""
RATE_PAUSE_S = 30.0
"""Pause in seconds if Slack limits the rate and does not say for how long."""

UNAUTHORIZED = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    }
    | {"missing_scope", "no_permission", "app_missing_action_url"}
)
UNAVAILABLE = frozenset(
    {"service_unavailable", "team_added_to_org", "org_login_required", "ekm_access_denied"}
)
UNKNOWN = frozenset({"internal_error", "fatal_error", "request_timeout"})
"""After these errors Slack may have done what was asked."""

Envelope = tuple[str, str, Mapping[str, Any]]
"""The id, the type and the payload of a message on the socket."""


class SlackRefused(DeliveryRejected):
    """Slack refused a call for good. `code` is its error, such as `channel_not_found`."""

    def __init__(self, method: str, code: str) -> None:
        super().__init__(f"Slack refuses {method}: {code}")
        self.code = code


@define(eq=False)
class SlackConnection:
    """The Web API and the socket of one app."""

    _loop: AsyncioLoop
    _web: "AsyncWebClient"
    _app_token: str = field(repr=False)
    _send: trio.MemorySendChannel[Envelope]
    envelopes: trio.MemoryReceiveChannel[Envelope]
    """The messages of the socket, in their order. Confirm each with `confirm`."""
    _socket: "SocketModeClient | None" = None

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Call a method of the Web API, such as `chat.postMessage`. Returns the answer.

        Raises:
            ChannelUnavailable: Slack did nothing: it is away, limits the rate, or refuses the token.
            SlackRefused: Slack refuses this call for good.
            SlackBroke: the outcome is unknown.
        """
        with _translated(method):
            return await self._loop.run(partial(_call, self._web, method), arguments)

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Call a method that only reads, such as `users.info`. Raises as `call`."""
        return await self.call(method, **arguments, _reads=True)

    async def confirm(self, envelope_id: str) -> None:
        """Tell Slack that the host has an event. Without a socket, Slack sends the event again."""
        socket = self._socket
        if socket is None:
            return
        try:
            await self._loop.run(socket.send_socket_mode_response, {"envelope_id": envelope_id})
        except Exception as error:  # noqa: BLE001 -- slack_sdk and aiohttp raise errors of many kinds
            logging.getLogger(__name__).debug("an event was not confirmed: %s", error)

    async def keep_socket(self, opened: trio.Event) -> None:
        """Hold a socket, and replace it when Slack asks for it. `opened` is set once the first one is open.

        Raises:
            ChannelUnavailable: there is no socket any more, and none can be opened.
        """
        while True:
            address = str((await self.call("apps.connections.open", app_token=self._app_token)).get("url"))
            lost = trio.Event()
            client = await self._loop.run(
                partial(_socket, self._web, self._app_token, address, lost, self._send)
            )
            try:
                with trio.move_on_after(CONNECT_S) as limit:
                    await self._loop.run(client.connect)
                if limit.cancelled_caught:
                    raise ChannelUnavailable(f"Slack's socket did not open within {CONNECT_S:g} s")
                self._socket = client
                opened.set()
                await lost.wait()
            finally:
                self._socket = None
                await self._loop.close(client.close)


class SlackBroke(Exception):
    """A call failed, and Slack may have done what was asked."""


@frozen
class _translated:  # noqa: N801 -- a context manager, written as one
    method: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        raise _translation(self.method, error) from error


def _translation(method: str, error: Exception) -> Exception:  # noqa: PLR0911 -- one line a case
    from aiohttp import ClientConnectorError  # noqa: PLC0415 -- of the extra
    from slack_sdk.errors import SlackApiError  # noqa: PLC0415 -- of the extra

    if isinstance(error, ClientConnectorError):
        return ChannelUnavailable("Slack cannot be reached; check this machine's connection")
    if not isinstance(error, SlackApiError):
        return SlackBroke(f"{method} failed: {type(error).__name__}: {error}")
    answer: Any = error.response
    status, headers, code = _parts(answer)
    if status == 429 or code in {"ratelimited", "rate_limited"}:  # noqa: PLR2004 -- Too Many Requests
        return ChannelUnavailable("Slack limits the rate of calls", _pause(headers), condition="rate limited")
    if code in UNAUTHORIZED:
        text = f"Slack refuses the token for {method}: {code}; check the tokens and the app's scopes"
        return ChannelUnavailable(text, condition="unauthorized")
    if code in UNAVAILABLE:
        return ChannelUnavailable(f"Slack cannot do it now: {code}")
    if not code or code in UNKNOWN:
        return SlackBroke(f"{method} failed: {code or f'status {status}'}")
    return SlackRefused(method, code)


def _parts(answer: Any) -> tuple[int, Mapping[str, str], str]:
    """Return the status, the headers and the error of an answer that may have any shape."""
    status = getattr(answer, "status_code", 0)
    headers = getattr(answer, "headers", {}) or {}
    data = getattr(answer, "data", answer)
    code = data.get("error") if isinstance(data, Mapping) else ""
    return status, headers, code if isinstance(code, str) else ""


def _pause(headers: Mapping[str, str]) -> float:
    found = next((value for key, value in headers.items() if key.lower() == "retry-after"), "")
    try:
        return max(0.0, float(found))
    except (TypeError, ValueError):
        return RATE_PAUSE_S


@asynccontextmanager
async def open_connection(api_base: str, bot_token: str, app_token: str) -> AsyncIterator[SlackConnection]:
    """Open the Web API of an app, without a socket yet."""
    require_sdk()
    send, receive = trio.open_memory_channel[Envelope](float("inf"))  # Slack limits what it sends unconfirmed
    async with open_asyncio_loop() as loop:
        web = await loop.run(partial(_web, api_base, bot_token))
        try:
            yield SlackConnection(loop, web, app_token, send, receive)
        finally:
            if web.session is not None:
                await loop.close(web.session.close)


def require_sdk() -> None:
    """Raise ConfigError unless slack_sdk is installed."""
    try:
        import aiohttp  # noqa: F401, PLC0415 -- of the extra
        import slack_sdk  # noqa: F401, PLC0415 -- of the extra
    except ImportError as error:
        install = install_command("slack")
        raise ConfigError(f"the package {error.name} is missing; install it with {install}") from error


# -- inside asyncio -------------------------------------------------------------


def _quiet() -> logging.Logger:
    """Return a silent logger for the SDK, which would log texts, and addresses with secrets."""
    log = logging.getLogger("nanoclaw.slack_sdk")
    log.setLevel(logging.CRITICAL)
    return log


async def _web(api_base: str, bot_token: str) -> "AsyncWebClient":
    import aiohttp  # noqa: PLC0415 -- of the extra
    from slack_sdk.web.async_client import AsyncWebClient  # noqa: PLC0415 -- of the extra

    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_S))
    # The SDK repeats calls whose connection broke. They may have had an effect, so only the host repeats.
    return AsyncWebClient(
        bot_token, base_url=f"{api_base}/", session=session, retry_handlers=[], logger=_quiet()
    )


async def _call(web: "AsyncWebClient", method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if "app_token" in arguments:
        answer = await web.apps_connections_open(app_token=arguments["app_token"])
    elif "_reads" in arguments:  # these methods take no JSON
        answer = await web.api_call(
            method, http_verb="GET", params={k: v for k, v in arguments.items() if k != "_reads"}
        )
    else:
        answer = await web.api_call(method, json=dict(arguments))
    found: object = answer.data
    return found if isinstance(found, Mapping) else {}


async def _socket(
    web: "AsyncWebClient",
    app_token: str,
    address: str,
    lost: trio.Event,
    send: trio.MemorySendChannel[Envelope],
) -> "SocketModeClient":
    from slack_sdk.socket_mode.aiohttp import SocketModeClient  # noqa: PLC0415 -- of the extra

    class Client(SocketModeClient):
        """A client that leaves reconnecting to us: the SDK's own never gives up, and says nothing."""

        async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 -- of the SDK
            del force
            lost.set()

    async def received(client: "AsyncBaseSocketModeClient", request: "SocketModeRequest") -> None:
        del client
        send.send_nowait((request.envelope_id, request.type, request.payload))

    client = Client(app_token, web_client=web, ping_interval=PING_S, logger=_quiet())
    client.wss_uri = address
    client.socket_mode_request_listeners.append(received)
    return client
