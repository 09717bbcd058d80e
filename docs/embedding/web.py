"""A web application that asks an agent. It runs in one trio program with the host, on hypercorn."""

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

import nanoclaw
from nanoclaw import Address, Capabilities, ChatMessage, Host, InboundEvent, Outgoing, Receipt, SimpleChannel
from nanoclaw.logs import configure_logging

CHAT = Address("web", "visitors")


class Web(SimpleChannel):
    """Hands each answer to the request that waits for it."""

    channel_type = "web"
    capabilities = Capabilities("never")  # a request that waits ends with the host

    def __init__(self) -> None:
        self.waiting = dict[str, trio.MemorySendChannel[str]]()

    async def ask(self, host: Host, text: str) -> str:
        id_ = token_hex(8)
        self.waiting[id_], answer = trio.open_memory_channel[str](1)
        message = ChatMessage(id_, text, "a visitor", "web:visitor")
        await host.intake.offer(InboundEvent(CHAT, id_, message))  # on disk when this returns
        with trio.fail_after(60):
            return await answer.receive()

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        if (asker := self.waiting.pop(outgoing.in_reply_to or "", None)) is not None:
            asker.send_nowait(nanoclaw.render(outgoing))  # later replies have no waiting request
        return Receipt(None)


async def main() -> None:
    web, config = Web(), Config.from_mapping(bind=["127.0.0.1:0"])
    async with nanoclaw.open_host(nanoclaw.load_config(), channels=[web]) as host:
        await host.admin.wirings.connect(CHAT, "main", policy="public")

        async def asked(request: Request) -> PlainTextResponse:
            return PlainTextResponse(await web.ask(host, (await request.body()).decode()))

        app: Any = Starlette(routes=[Route("/", asked, methods=["POST"])])
        async with trio.open_nursery() as tasks:
            [url] = await tasks.start(serve, app, config)
            print(await trio.to_thread.run_sync(lambda: urlopen(url, b"hello").read().decode()))
            tasks.cancel_scope.cancel()


configure_logging("error")
trio.run(main)
