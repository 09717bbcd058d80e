"""The webhook: Telegram sends updates to an address of ours, and sends them again until they are confirmed.

A proxy with TLS stands before the server here. It runs on the trio worker of hypercorn, which the extra
`http` brings.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, cast

import trio
from attrs import Factory, define, field
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import Framework

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.telegram.batches import Batches
from nanoclaw.channels.telegram.connection import KINDS, Connection
from nanoclaw.channels.telegram.faults import as_unavailable

HEADER = b"x-telegram-bot-api-secret-token"
LARGEST_UPDATE = 4 << 20
MOST_WAITING = 100
TOGETHER_S = 0.5
"""Seconds for which updates are collected while an album comes in."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@define(eq=False)
class _Posted:
    """An update that Telegram sent, and whether the host has it."""

    update: object
    done: trio.Event = Factory(trio.Event)
    accepted: bool = False


@define(eq=False)
class Webhook:
    """Takes updates on a port, and offers them in batches."""

    connection: Connection
    batches: Batches
    url: str
    listen: str
    _secret: str = field(factory=lambda: token_urlsafe(32), repr=False)
    _queue: tuple[trio.MemorySendChannel[_Posted], trio.MemoryReceiveChannel[_Posted]] = Factory(
        lambda: trio.open_memory_channel[_Posted](MOST_WAITING)
    )

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ChannelUnavailable: the port is taken, or Telegram refuses the address.
        """
        config = Config()
        config.bind, config.accesslog, config.errorlog = [self.listen], None, None
        config.graceful_timeout = 0.0
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(serve, cast("Framework", self._app), config)
            except OSError as error:
                raise ChannelUnavailable(f"webhook_listen {self.listen} cannot be used: {error}") from error
            with as_unavailable():
                await self.connection.bot.set_webhook(
                    self.url, secret_token=self._secret, allowed_updates=list(KINDS)
                )
            await self._offer_all()

    async def _offer_all(self) -> None:
        """Offer what has come, as one batch."""
        while True:
            batch = [await self._queue[1].receive(), *self._waiting()]
            items = self.batches.read([one.update for one in batch])
            if self.batches.open_album(items):
                await trio.sleep(TOGETHER_S)
                batch += self._waiting()
            batch.sort(key=_number)
            items = self.batches.read([one.update for one in batch])
            refused = await self.batches.accept(items)
            for one in batch:
                one.accepted = refused is None or _number(one) < refused
                one.done.set()
            if refused is None:
                self.batches.forget(max(map(_number, batch)) - 10 * MOST_WAITING)

    def _waiting(self) -> list[_Posted]:
        found = list[_Posted]()
        while self._queue[1].statistics().current_buffer_used:
            found.append(self._queue[1].receive_nowait())
        return found

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 200 once the host has the update."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(send, await self._status(scope, receive))

    async def _status(self, scope: Scope, receive: Receive) -> int:
        given = dict(scope["headers"]).get(HEADER, b"")
        if scope["method"] != "POST" or not compare_digest(given, self._secret.encode()):
            return 403
        body = await _body(receive)
        try:
            posted = _Posted(json.loads(body or b""))
        except ValueError:
            return 413 if body is None else 400
        await self._queue[0].send(posted)
        await posted.done.wait()
        return 200 if posted.accepted else 503


def _number(posted: _Posted) -> int:
    found = posted.update.get("update_id") if isinstance(posted.update, dict) else None
    return found if isinstance(found, int) else 0


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if it is too large."""
    body, more = bytearray(), True
    while more and len(body) <= LARGEST_UPDATE:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body) if len(body) <= LARGEST_UPDATE else None


async def _respond(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
