"""A web application with an agent in it: POST /say, and the response is what the agent says.

Host and server run in one trio program. Needs `starlette` and `hypercorn`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any
from urllib.request import urlopen

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from nanoclaw import (
    Address,
    ChatMessage,
    Host,
    InboundEvent,
    Intake,
    Outgoing,
    Receipt,
    load_config,
    open_host,
)
from nanoclaw.channels.protocol import Outcome, Repeat
from nanoclaw.channels.terminal import render
from nanoclaw.logs import configure_logging

CHAT = Address("web", "visitors")


class Web:
    """The channel: an answer goes to the request that waits for it."""

    channel_type = "web"
    repeat: Repeat = "never"  # who asked is gone when the host is

    def __init__(self) -> None:
        self.waiting = dict[str, trio.MemorySendChannel[str]]()

    async def receive(self, intake: Intake) -> None: ...  # requests are offered by the application

    @asynccontextmanager
    async def sender(self) -> AsyncIterator["Web"]:
        yield self

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        request = self.waiting.pop(outgoing.in_reply_to or "", None)
        if request is not None:
            request.send_nowait(render(outgoing))
        return Receipt(None)

    async def typing(self, address: Address) -> None: ...

    async def settled(self, address: Address, message_id: str, outcome: Outcome) -> None: ...


def application(host: Host, web: Web) -> Starlette:
    async def say(request: Request) -> PlainTextResponse:
        text, id_ = (await request.body()).decode(), token_hex(8)
        web.waiting[id_], answer = trio.open_memory_channel[str](1)
        message = ChatMessage(id_, text, "a visitor", "web:visitor")
        await host.intake.offer(InboundEvent(CHAT, id_, message))  # on disk when this returns
        with trio.fail_after(60):
            return PlainTextResponse(await answer.receive())

    return Starlette(routes=[Route("/say", say, methods=["POST"])])


def visit(url: str) -> str:
    """What a visitor does, from anywhere."""
    with urlopen(url, b"hello") as response:
        return str(response.read(), "utf-8")


async def main() -> None:
    web, config, done = Web(), Config(), trio.Event()
    config.bind = ["127.0.0.1:0"]
    async with open_host(load_config(), channels=[web]) as host, trio.open_nursery() as nursery:
        await host.admin.wirings.connect(CHAT, "main", policy="public")
        app: Any = application(host, web)  # the two libraries spell ASGI's types differently
        [url] = await nursery.start(
            lambda **started: serve(app, config, shutdown_trigger=done.wait, **started)
        )
        print(await trio.to_thread.run_sync(visit, f"{url}/say"))
        done.set()


configure_logging("error")
trio.run(main)
