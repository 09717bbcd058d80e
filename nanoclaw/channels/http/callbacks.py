"""Callbacks: answers that are posted to the address that the question named, until it confirms them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import httpcore2
import structlog
import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.http.answers import dumped, entry_json
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.reading import Fields
from nanoclaw.channels.http.rooms import Rooms
from nanoclaw.channels.http.signatures import standard_signature
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import Secret
from nanoclaw.gateway.web.addresses import is_never_reached, is_public
from nanoclaw.gateway.web.internet import Internet, PublicInternet
from nanoclaw.store import Connection, StoreError
from nanoclaw.store.transcript import callbacks, entries
from nanoclaw.store.transcript.callbacks import Waiting
from nanoclaw.store.transcript.entries import Entry

BACKOFF_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 3600.0, 10_800.0, 21_600.0, 43_200.0)
"""Delays after failed attempts. After the last one a callback is given up: in all, it is tried for a day."""
ATTEMPT_S = 15.0
AT_ONCE = 8
LONGEST_URL = 2000
LONGEST_SLEEP_S = 3600.0
RETRY_S = 5.0

_log = structlog.get_logger()


def callback_address(config: HttpConfig, fields: Fields) -> str | None:
    """Return the address that a message names for its answers, if it names one.

    Raises:
        ApiError: it is no address that the channel may use.
    """
    url = fields.text("callback", LONGEST_URL, default="")
    if not url:
        return None
    if config.callback_secret is None:
        fields.refuse("callback", "needs the key callback_secret in the table of the channel")
    host = _host(url)
    if host is None:
        fields.refuse("callback", "must be an address such as https://example.com/answers, without a user")
    if not config.private_callbacks and is_never_reached(host):
        fields.refuse("callback", "is on this machine or a private network; see private_callbacks")
    return url


def _host(url: str) -> str | None:
    """Return the host of an address in lower case, or None if it is no address for callbacks."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return None
    fits = fits and url.isascii() and url.isprintable() and " " not in url
    return parts.hostname if fits else None


def _plain_backend() -> httpcore2.AsyncNetworkBackend:
    return cast("httpcore2.AsyncNetworkBackend", httpcore2.TrioBackend())


@frozen
class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only, whatever a name resolves to."""

    internet: Internet
    private: bool
    """True to connect to any address."""
    _plain: httpcore2.AsyncNetworkBackend = Factory(_plain_backend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a name that is allowed."""
        try:
            found = await self.internet.resolve(host)
        except (OSError, UnicodeError) as error:  # of a name that no resolver takes
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        allowed = [address for address in found if self.private or self._is_elsewhere(address)]
        if not allowed:
            raise httpcore2.ConnectError(f"{host} has no public address")
        return await self._plain.connect_tcp(allowed[0], port, timeout, local_address, socket_options)

    def _is_elsewhere(self, address: str) -> bool:
        """Return True for a public address, unless it is one of this machine."""
        return is_public(address) and not self.internet.is_own(address)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await trio.sleep(seconds)


@define(eq=False)
class Callbacks:
    """Posts what waits in the queue. One task runs it."""

    rooms: Rooms
    secret: Secret
    private: bool
    internet: Internet = Factory(PublicInternet)

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            answered = self.rooms.answered.event
            try:
                wait_s = await self._round()
            except StoreError as error:
                _log.warning("http.callbacks_delayed", reason=str(error), again_in_s=RETRY_S)
                wait_s = RETRY_S
            with trio.move_on_after(wait_s):
                await answered.wait()

    async def _round(self) -> float:
        """Post what is due. Return the seconds until something else is."""
        waiting = await self.rooms.transcript.reader.run(callbacks.due, AT_ONCE)
        now = self.rooms.clock.now()
        due = [each for each in waiting if each.due_at <= now]
        async with trio.open_nursery() as nursery:
            for each in due:
                nursery.start_soon(self._try, each)
        if due:
            return 0.0
        next_s = [(each.due_at - now).total_seconds() for each in waiting]
        return min([LONGEST_SLEEP_S, *next_s])

    async def _try(self, waiting: Waiting) -> None:
        found = await self.rooms.transcript.reader.run(_entry, waiting.seq)
        problem = None if found is None else await self._post(waiting, found)
        if problem is None:
            await self.rooms.transcript.writer.run(callbacks.remove, waiting)
            return
        if waiting.attempts >= len(BACKOFF_S):
            _log.error("http.callback_given_up", url=_shown(waiting.url), reason=problem)
            await self.rooms.transcript.writer.run(callbacks.remove, waiting)
            return
        delay_s = BACKOFF_S[waiting.attempts] * self.rooms.random.uniform(1.0, 1.2)
        _log.warning(
            "http.callback_failed", url=_shown(waiting.url), reason=problem, again_in_s=round(delay_s, 1)
        )
        due_at = self.rooms.clock.now() + timedelta(seconds=delay_s)
        await self.rooms.transcript.writer.run(callbacks.postpone, waiting, due_at)

    async def _post(self, waiting: Waiting, entry: Entry) -> str | None:
        """Post an entry. Return the problem, or None if it was confirmed. It follows no redirect."""
        body = dumped(entry_json(entry))
        try:
            headers = await self._headers(entry, body)
            with trio.fail_after(ATTEMPT_S):
                status = await self._status(waiting.url, headers, body)
        except ChannelUnavailable as error:
            return str(error)
        except trio.TooSlowError:
            return f"no answer within {ATTEMPT_S:g} s"
        except Exception as error:  # noqa: BLE001 -- an address may be anything, and must not end the channel
            return f"{type(error).__name__}: {error}"[:200]
        return None if 200 <= status < 300 else f"status {status}"  # noqa: PLR2004 -- success

    async def _headers(self, entry: Entry, body: bytes) -> Sequence[tuple[str, str]]:
        id_, timestamp = f"entry-{entry.seq}", str(int(self.rooms.clock.now().timestamp()))
        signature = standard_signature(await self.secret.read(), id_, timestamp, body)
        return [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("user-agent", "nanoclaw"),
            ("webhook-id", id_),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]

    async def _status(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        backend = GuardedBackend(self.internet, self.private)
        async with httpcore2.AsyncConnectionPool(network_backend=backend, max_connections=1) as pool:
            host = urlsplit(url).netloc
            request = partial(pool.stream, "POST", url, headers=[("host", host), *headers], content=body)
            async with request() as response:
                return int(response.status)


def _entry(connection: Connection, seq: int) -> Entry | None:
    return entries.by_seq(connection, seq)


def _shown(url: str) -> str:
    """Return an address without its query, which may have a secret."""
    return url.partition("?")[0][:200]
