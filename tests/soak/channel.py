"""The host's channel to the network: one connection for each half, each for one life of the host."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Capabilities, Outcome, Repeat, Sender
from nanoclaw.records import (
    Address,
    ChatMessage,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    TextContent,
)
from nanoclaw.system.sockets import nameable
from tests.soak.talk import Talk

CHANNEL = "soak"
ANSWER_S = 0.3
"""A network that has not answered by then leaves the outcome unknown."""
OFFER_AGAIN_S = 0.05

Wanted = Literal["rest", "finish"]
OnDelivery = Callable[[Literal["asking", "asked"]], None]


def event(chat: str, event_id: str, text: str) -> InboundEvent:
    """Return a message in the form the network offers."""
    return InboundEvent(
        Address(CHANNEL, chat), event_id, ChatMessage(event_id, text, "User", f"{CHANNEL}:user")
    )


@define(eq=False)
class SoakChannel:
    """`rest` returns when nothing is open (`finish`: no task either).

    `on_delivery` is called before and after the network is asked for one.
    """

    socket: Path
    repeat: Repeat
    rest: Callable[[Wanted], Awaitable[None]]
    on_delivery: OnDelivery
    channel_type: str = CHANNEL
    finished: trio.Event = Factory(trio.Event)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self.repeat, typing=False, settled=False)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        async with await self._connected() as stream, trio.open_nursery() as nursery:
            sender = _Sender(Talk(stream), self.on_delivery)
            await sender.talk.say(**{"i am": "sender"})
            nursery.start_soon(sender.listen)
            yield sender
            nursery.cancel_scope.cancel()

    async def receive(self, intake: Intake, /) -> None:
        async with await self._connected() as stream, trio.open_nursery() as nursery:
            talk = Talk(stream)
            await talk.say(**{"i am": "receiver"})
            chats: dict[str, trio.MemorySendChannel[dict[str, Any]]] = {}
            async for heard in talk.hear():
                match heard:
                    case {"say": _, "chat": chat}:
                        if chat not in chats:
                            chats[chat], waiting = trio.open_memory_channel[dict[str, Any]](1000)
                            nursery.start_soon(_chat, talk, intake, waiting)
                        chats[chat].send_nowait(heard)
                    case {"ask": what, "number": number}:
                        nursery.start_soon(self._ask, talk, what, number)

    async def _connected(self) -> trio.SocketStream:
        with nameable(self.socket) as name:
            return await trio.open_unix_socket(name)

    async def _ask(self, talk: Talk, what: Wanted, number: int) -> None:
        await self.rest(what)
        await talk.say(rested=number)
        if what == "finish":
            self.finished.set()


async def _chat(talk: Talk, intake: Intake, waiting: trio.MemoryReceiveChannel[dict[str, Any]]) -> None:
    """Offer the messages of one chat in order; confirm those on disk."""
    async for heard in waiting:
        while True:
            try:
                await intake.offer(event(heard["chat"], heard["say"], heard["text"]))
                break
            except NotAccepted:
                await trio.sleep(OFFER_AGAIN_S)
        await talk.say(confirmed=heard["say"])


@define(eq=False)
class _Answer:
    """The network's answer about a message."""

    given: trio.Event = Factory(trio.Event)
    has_it: bool = False


@define(eq=False)
class _Sender:
    talk: Talk
    on_delivery: OnDelivery
    waiting: dict[str, _Answer] = Factory(dict)

    async def listen(self) -> None:
        async for heard in self.talk.hear():
            answer = self.waiting.get(heard["of"])
            if answer is not None:
                answer.has_it = heard["has"]
                answer.given.set()

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        assert isinstance(outgoing.content, TextContent)
        self.on_delivery("asking")
        with self._answer(outgoing) as answer:
            await self.talk.say(
                deliver=outgoing.message_out_id,
                chat=outgoing.address.platform_id,
                text=outgoing.content.text,
                answers=outgoing.in_reply_to,
            )
            self.on_delivery("asked")
            await answer.given.wait()
        return _receipt(outgoing)

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        with self._answer(outgoing) as answer:
            await self.talk.say(find=outgoing.message_out_id)
            await answer.given.wait()
        return _receipt(outgoing) if answer.has_it else None

    @contextmanager
    def _answer(self, outgoing: Outgoing) -> Iterator[_Answer]:
        """Of what is said meanwhile; it is waited for `ANSWER_S`, for the host's own limit is a minute."""
        answer = self.waiting[outgoing.message_out_id] = _Answer()
        try:
            with trio.fail_after(ANSWER_S):
                yield answer
        finally:
            del self.waiting[outgoing.message_out_id]

    async def typing(self, address: Address, /) -> None: ...

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None: ...


def _receipt(outgoing: Outgoing) -> Receipt:
    return Receipt(f"soak-{outgoing.message_out_id}")
