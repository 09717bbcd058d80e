"""The connection to Discord: discord.py's HTTP client, which keeps the rate limits, and its gateway.

discord.py's own objects and cache are not used: they would keep every member and message in memory, and move
on before the host has an event. Only this module imports discord.py; the channel imports it to connect.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from io import BufferedReader, FileIO
from random import SystemRandom
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import aiohttp
import discord
import structlog
import trio
import yarl
from attrs import define
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from discord.http import HTTPClient, Route, handle_message_parameters

from nanoclaw.channels.asyncio_loop import CLOSE_S, AsyncioLoop
from nanoclaw.channels.discord.checking import NOT_ALLOWED, may_read
from nanoclaw.channels.discord.receiving import Me
from nanoclaw.channels.discord.values import Button, Dispatch, Post, Session
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 20.0
"""Time limit in seconds of opening the gateway."""
LONGEST_WAIT_S = 5.0
"""Longest time in seconds that discord.py waits for a rate limit by itself."""
PAUSE_S = 0.5
RECONNECTS = 3
"""Attempts in a row to open a lost gateway again, before the channel counts as down."""
CHUNK = 1 << 16
"""Bytes of a file that are read at once."""
PAGE = 100
"""Messages that one request for the history returns."""
RESUMABLE = 4000
"""A code of closing after which Discord keeps the session. After 1000 it would forget it."""
NO_TOKEN, NO_INTENT = 4004, frozenset({4013, 4014})
FATAL = frozenset({NO_TOKEN, 4010, 4011, 4012, *NO_INTENT})
REFUSED = "Discord refuses the token: copy a new one from the page Bot of your application, and store it"

discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody speaks here

_log = structlog.get_logger()


# -- discord.py with an address of its own ----------------------------------------


class _Http(HTTPClient):
    """discord.py's HTTP client for the address of one channel: its routes have one for the process."""

    def __init__(self, api_base: str) -> None:
        super().__init__(discord.utils.MISSING)  # `_async_setup_hook` sets the loop
        self.max_ratelimit_timeout = LONGEST_WAIT_S
        self.api_base = api_base.rstrip("/")

    async def request(self, route: Route, **options: Any) -> Any:
        route.url = self.api_base + route.url.removeprefix(Route.BASE)
        return await super().request(route, **options)


class _Parsers(dict[str, Callable[[Any], None]]):
    """Gives each event to one function, in place of discord.py's cache."""

    def __init__(self, take: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._take = take

    def __missing__(self, name: str) -> Callable[[Any], None]:
        return partial(self._take, name)


class _Client(discord.Client):
    def __init__(self, api_base: str, take: Callable[[str, Any], None]) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.messages = intents.reactions = intents.message_content = True
        super().__init__(intents=intents, max_messages=None, chunk_guilds_at_startup=False)
        self.http = self._connection.http = _Http(api_base)
        self._connection.parsers = _Parsers(take)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Ignore the events of discord.py's own objects."""


class _Reader(BufferedReader):
    """A file that is read in small parts. aiohttp asks for 256 KiB, and keeps many of them alive."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, CHUNK) if size is not None and size > 0 else size)


# -- one connection ----------------------------------------------------------------


@define(eq=False)
class Connection:
    """One connection of the bot: calls of the HTTP API, and the events of the gateway."""

    loop: AsyncioLoop
    client: _Client
    me: Me
    gateway: type[DiscordWebSocket]
    _arrived: deque[Dispatch]
    _socket: DiscordWebSocket | None = None

    # -- sending --

    async def send(self, channel_id: str, post: Post) -> str:
        """Send a message, and return its id. See `sending` for errors."""
        with sending():
            return str((await self.loop.run(self._send, channel_id, post))["id"])

    async def _send(self, channel_id: str, post: Post) -> Mapping[str, Any]:
        with ExitStack() as opened:
            readers = [(name, opened.enter_context(_Reader(FileIO(path)))) for name, path in post.files]
            files = [discord.File(reader, filename=name) for name, reader in readers]
            try:
                return await self._send_with(channel_id, post, {"files": files} if files else {})
            finally:
                for file, (_, reader) in zip(files, readers, strict=True):
                    reader.close = file._closer  # type: ignore[method-assign]  # noqa: SLF001 -- it had replaced it

    async def _send_with(self, channel_id: str, post: Post, options: dict[str, Any]) -> Mapping[str, Any]:
        if post.reply_to:
            options["message_reference"] = {"message_id": post.reply_to, "fail_if_not_exists": False}
        if post.buttons:
            options["view"] = _view(post.buttons)
        with handle_message_parameters(
            post.text, nonce=post.nonce, allowed_mentions=discord.AllowedMentions.none(), **options
        ) as params:
            sent = await self.client.http.send_message(cast("Any", channel_id), params=params)
        return cast("Mapping[str, Any]", sent)

    async def edit(self, channel_id: str, message_id: str, post: Post) -> None:
        """Give a message a new text and new buttons. See `sending` for errors."""
        with sending():
            await self.loop.run(self._edit, channel_id, message_id, post)

    async def _edit(self, channel_id: str, message_id: str, post: Post) -> None:
        view = _view(post.buttons) if post.buttons else None
        with handle_message_parameters(
            post.text, view=view, allowed_mentions=discord.AllowedMentions.none()
        ) as params:
            await self.client.http.edit_message(
                cast("Any", channel_id), cast("Any", message_id), params=params
            )

    async def delete(self, channel_id: str, message_id: str) -> None:
        """Delete a message of the bot. See `sending` for errors."""
        with sending():
            await self.loop.run(self._delete, channel_id, message_id)

    async def _delete(self, channel_id: str, message_id: str) -> None:
        await self.client.http.delete_message(cast("Any", channel_id), cast("Any", message_id))

    async def call(self, method: str, path: str, *, json: object = None, **parameters: str) -> Any:
        """Call a method of the HTTP API that may be called twice, and return its JSON.

        Raises:
            DeliveryRejected: Discord refuses it.
            ChannelUnavailable: Discord cannot do it now.
        """
        with reading():
            return await self.loop.run(self._call, Route(method, path, **parameters), json)

    async def _call(self, route: Route, json: object) -> Any:
        options: dict[str, Any] = {} if json is None else {"json": json}
        return await self.client.http.request(route, **options)

    async def try_to(self, call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Make a call that may fail, such as a hint. Return None if it did."""
        try:
            with reading():
                return await call(*args, **kwargs)
        except (ChannelUnavailable, DeliveryRejected) as error:
            _log.debug("discord.hint_failed", reason=str(error))
            return None

    async def history(self, channel_id: str, *, after: str | None) -> Sequence[Mapping[str, Any]]:
        """Return up to 100 messages, oldest first: the next ones after one, or the newest.

        Raises:
            DeliveryRejected: the bot may not read there.
            ChannelUnavailable: Discord cannot say now.
        """
        with reading():
            found = await self.loop.run(self._history, channel_id, after)
        return sorted(
            (one for one in found if isinstance(one, dict) and str(one.get("id")).isdigit()),
            key=lambda one: int(one["id"]),
        )

    async def _history(self, channel_id: str, after: str | None) -> Sequence[Any]:
        found = await self.client.http.logs_from(cast("Any", channel_id), PAGE, after=cast("Any", after))
        return found if isinstance(found, list) else []

    # -- the gateway --

    async def listen(self, session: Session | None, take: Callable[[Dispatch], Awaitable[None]]) -> None:
        """Take the events of the gateway until cancelled. A session that Discord still has is resumed.

        A lost connection is opened again at once. Raises ChannelUnavailable if that fails several times.
        """
        failures, resume = 0, session
        while True:
            error: BaseException | None = None
            try:
                await self._connect(resume, at_home=failures > 1)
                while True:
                    await self._poll(take)
                    failures = 0
            except ReconnectWebSocket as lost:
                error = lost
                resume = (self._session() or resume) if lost.resume else None
            except (OSError, aiohttp.ClientError, TimeoutError, trio.TooSlowError) as failed:
                error, resume = failed, self._session() or resume
            except discord.ConnectionClosed as closed:
                raise _closed(closed) from closed
            failures += 1
            if failures > RECONNECTS:
                raise ChannelUnavailable(f"Discord's gateway cannot be reached: {error!r:.200}") from error
            _log.info("discord.reconnecting", resuming=resume is not None, failures=failures)
            await trio.sleep(SystemRandom().uniform(0.0, PAUSE_S * failures) if failures > 1 else 0)

    async def _connect(self, session: Session | None, *, at_home: bool) -> None:
        """Open the gateway: where the session is, or `at_home`, where every session begins."""
        await self._disconnect()
        options: dict[str, Any] = {"initial": session is None}
        if session is not None:
            options |= {"session": session.id, "sequence": session.sequence, "resume": True}
            options["gateway"] = None if at_home else yarl.URL(session.url)
        with trio.fail_after(CONNECT_S):
            await self.loop.run(partial(self.gateway.from_client, self.client, **options))

    def opened(self, socket: DiscordWebSocket) -> None:
        """Keep a socket of the gateway, which may not be ready yet, so that it is closed in any case."""
        self._socket = socket

    async def _poll(self, take: Callable[[Dispatch], Awaitable[None]]) -> None:
        """Take what Discord sends next."""
        assert self._socket is not None  # noqa: S101 -- connected before
        await self.loop.run(self._socket.poll_event)
        while self._arrived:
            await take(self._arrived.popleft())

    def take(self, name: str, data: Any) -> None:
        """Keep an event until it is asked for. discord.py calls it while it polls."""
        socket = self._socket
        self._arrived.append(Dispatch(name, data, (socket.sequence if socket else None) or 0))

    def _session(self) -> Session | None:
        socket = self._socket
        if socket is None or not socket.session_id or socket.sequence is None:
            return None
        return Session(socket.session_id, str(socket.gateway), socket.sequence)

    @property
    def session(self) -> Session | None:
        """The session of the gateway, as far as its events have arrived."""
        return self._session()

    async def _disconnect(self) -> None:
        """Close the gateway so that its session can be resumed. Wait for the thread of its heartbeat."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        beat = socket._keep_alive  # noqa: SLF001 -- nothing else ends its thread for sure
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            await self.loop.run(socket.close, RESUMABLE)
        if beat is not None:
            beat.stop()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                await trio.to_thread.run_sync(beat.join, CLOSE_S, abandon_on_cancel=True)

    async def close(self) -> None:
        """Close everything, within about two seconds."""
        try:
            await self._disconnect()
        finally:
            await self.loop.close(self.client.http.close)


@asynccontextmanager
async def open_connection(
    loop: AsyncioLoop, token: str, api_base: str, gateway: str
) -> AsyncIterator[Connection]:
    """Log in. The gateway is opened by `Connection.listen`.

    Raises:
        ChannelUnavailable: Discord refuses the token, or cannot be reached.
    """
    connection: list[Connection] = []

    def take(name: str, data: Any) -> None:
        connection[0].take(name, data)

    async def made() -> _Client:
        return _Client(api_base, take)

    client = await loop.run(made)
    address = yarl.URL(gateway)

    class Gateway(DiscordWebSocket):
        DEFAULT_GATEWAY: ClassVar = address  # type: ignore[misc]  # discord.py declares none

        def __init__(self, socket: aiohttp.ClientWebSocketResponse, **options: Any) -> None:
            super().__init__(socket, **options)
            connection[0].opened(self)

    try:
        me = await _log_in(loop, client, token)
        connection.append(Connection(loop, client, me, Gateway, deque()))
        yield connection[0]
    finally:
        if connection:
            await connection[0].close()
        else:
            await loop.close(client.http.close)


async def _log_in(loop: AsyncioLoop, client: _Client, token: str) -> Me:
    async def log_in() -> tuple[Any, Any]:
        await client._async_setup_hook()  # noqa: SLF001 -- what Client.login does first
        user = await client.http.static_login(token.strip())
        return user, await client.http.application_info()

    try:
        with trio.fail_after(CONNECT_S), reading():
            user, application = await loop.run(log_in)
        if not may_read(application.get("flags")):
            raise ChannelUnavailable(NOT_ALLOWED, condition="unauthorized")
        return Me(str(user["id"]), str(user.get("username") or user["id"]), str(application["id"]))
    except discord.LoginFailure as error:
        raise ChannelUnavailable(REFUSED, condition="unauthorized") from error
    except trio.TooSlowError as error:
        raise ChannelUnavailable(f"Discord did not answer within {CONNECT_S:g} s") from error


def _closed(error: discord.ConnectionClosed) -> ChannelUnavailable:
    if error.code == NO_TOKEN:
        return ChannelUnavailable(REFUSED, condition="unauthorized")
    if error.code in NO_INTENT:
        return ChannelUnavailable(NOT_ALLOWED, condition="unauthorized")
    return ChannelUnavailable(f"Discord closed the gateway with the code {error.code}")


# -- errors ------------------------------------------------------------------------


@contextmanager
def sending() -> Iterator[None]:
    """Raise discord.py's errors as those of a channel.

    Raises:
        DeliveryRejected: Discord will never do it.
        ChannelUnavailable: Discord did nothing, and may do it later.
        Anything else means that the outcome is unknown.
    """
    try:
        yield
    except discord.RateLimited as error:
        raise _limited(error.retry_after) from error
    except discord.DiscordServerError:
        raise
    except discord.HTTPException as error:
        raise _refusal(error) from error
    except aiohttp.ClientConnectorError as error:
        raise ChannelUnavailable(f"Discord cannot be reached: {error!s:.200}") from error


@contextmanager
def reading() -> Iterator[None]:
    """Raise every error of the network as ChannelUnavailable: a question may be asked again."""
    try:
        with sending():
            yield
    except (discord.DiscordServerError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChannelUnavailable(f"Discord does not answer: {error!r:.200}") from error


def _limited(seconds: float) -> ChannelUnavailable:
    return ChannelUnavailable(
        f"Discord limits the rate of calls, for {seconds:.1f} s", seconds, condition="rate limited"
    )


def _refusal(error: discord.HTTPException) -> Exception:
    if error.status == 429:  # noqa: PLR2004 -- too many requests
        return _limited(_seconds(error.response.headers.get("Retry-After")))
    if error.status == 401:  # noqa: PLR2004 -- unauthorized
        return ChannelUnavailable(REFUSED, condition="unauthorized")
    return DeliveryRejected(f"Discord refuses it: {error.text or error.status} (code {error.code})")


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or ""), 0.0), 3600.0)
    except ValueError:
        return 10.0


def _view(buttons: Sequence[Button]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for each in buttons:
        view.add_item(discord.ui.Button(label=each.label, custom_id=each.custom_id))
    return view
