"""The terminal's chat at the other end of the control socket: sends lines, and shows what the host sends."""

from collections.abc import Callable, Mapping
from secrets import SystemRandom
from typing import Any

import trio
from attrs import Factory, define, field

from nanoclaw.channels.terminal.desk import Desk, FrontEnd, NotConfirmed
from nanoclaw.channels.terminal.pipe import UNWRITABLE
from nanoclaw.channels.terminal.showing import Display
from nanoclaw.cli.client import Client, NoHost, RequestFailed
from nanoclaw.records import Answering, NotAccepted, Routed

LEFT = "the host has stopped; if it has the message, it answers when it runs again"
NOT_THERE = "the host is not running"
LISTEN, SHOWN = "listen", "shown"
"""The ids of these requests. Lines have ids of their own."""


@define(eq=False)
class _Acceptance:
    """The host's answer to a line: accepted or refused."""

    known: trio.Event = Factory(trio.Event)
    result: Routed | NotAccepted = Factory(lambda: NotConfirmed(LEFT))

    def set(self, result: Routed | NotAccepted) -> None:
        if not self.known.is_set():
            self.result = result
            self.known.set()


@define(eq=False)
class Remote:
    """A terminal whose lines go to the host, and which shows the host's messages and confirms them."""

    front: FrontEnd
    drafts: bool = False
    """True if the front end shows drafts."""
    client: Client | None = None
    """The connection; None while there is none."""
    left: str | None = None
    """The reason why the last connection ended."""
    answer_hint: Callable[[], str] = str
    """Returns what follows a question, to say how it is answered."""
    desk: Desk = field(
        init=False,
        default=Factory(lambda self: Desk(self.front, SystemRandom(), self.offer), takes_self=True),
    )
    _acceptances: dict[str, _Acceptance] = Factory(dict)
    _early: list[Mapping[str, Any]] = Factory(list)
    """The events that came before the answer to `listen`."""

    async def offer(self, _desk: Desk, id_: str, text: str) -> Routed:
        """Send a line; return when the host has it on disk.

        Raises:
            NotAccepted: the host did not store it. `NotConfirmed` if it did not say so.
        """
        if self.client is None:
            raise NotAccepted(NOT_THERE if self.left is None or self.left == LEFT else self.left)
        acceptance = self._acceptances[id_] = _Acceptance()
        try:
            await self.client.send(id_, "chat", text=text)
            await acceptance.known.wait()
        except NoHost:
            pass
        finally:
            del self._acceptances[id_]
        if isinstance(acceptance.result, NotAccepted):
            raise acceptance.result
        return acceptance.result

    async def listen(self, client: Client) -> list[Answering]:
        """Take part in the chat, and return the agents that answer in it.

        Raises:
            NoHost: the host is gone.
            RequestFailed: it has no terminal's chat.
        """
        drafts = {"drafts": True} if self.drafts else {}
        await client.send(LISTEN, "listen", confirm=True, **drafts)
        while True:
            match await client.receive():
                case {"id": "listen", "error": {"code": "bad_request"}} if drafts:  # an older host has none
                    drafts = {}
                    await client.send(LISTEN, "listen", confirm=True)
                case {"id": "listen", "result": {"answering": who}}:
                    self.client, self.left = client, None
                    return [Answering(each["agent"], each["provider"], each.get("model")) for each in who]
                case {"id": "listen", "error": {"message": reason, "code": code}}:
                    raise RequestFailed(reason, code)
                case earlier:
                    self._early.append(earlier)

    async def receive(self) -> None:
        """Receive from the host until it is gone. Lines that are still open then get no answer."""
        client = self.client
        assert client is not None  # noqa: S101 -- `listen` has set it
        try:
            early, self._early = self._early, []
            for answer in early:
                await self._take(client, answer)
            while True:
                await self._take(client, await client.receive())
        except NoHost:
            self._leave(LEFT)
        except RequestFailed as error:
            self._leave(str(error))
        except OSError as error:
            self._unwritable(f"{UNWRITABLE}: {error.strerror or error}")

    def _leave(self, why: str) -> None:
        self.client, self.left = None, why
        for acceptance in self._acceptances.values():
            acceptance.set(NotConfirmed(why))
        for line in self.desk.lines.values():
            line.failed = line.failed or why
        self.desk.draft("")
        self.desk.change()

    def _unwritable(self, why: str) -> None:
        for line in self.desk.lines.values():
            line.failed = line.failed or f"{why}; the answer is kept, and `nanoclaw chat` shows it"
        self._leave(why)

    async def _take(self, client: Client, answer: Mapping[str, Any]) -> None:
        id_ = answer["id"]
        match answer:
            case {"event": {"type": "message", "text": text} as message}:
                asks = message.get("asks", False)
                await self._show(id_, text, asks=asks)
                await client.send(SHOWN, "shown", message=message["message"])
                if asks and len(self.desk.lines) == 1:  # it gets no other answer until somebody has chosen
                    self.desk.forget()
            case {"event": {"type": "typing"}}:
                self.desk.work()
            case {"event": {"type": "draft", "text": text}}:
                self.desk.draft(text)
            case {"event": {"type": "accepted", "sessions": sessions}}:
                self._accept(id_, Routed(tuple(sessions)))
            case {"result": {"failed": failed}}:
                self._accept(id_, Routed())
                self.desk.settled(id_, failed)
            case {"error": {"code": "dropped", "message": reason}}:
                self._accept(id_, Routed(dropped=reason))
            case {"error": {"message": reason}}:
                self._accept(id_, NotAccepted(reason))

    async def _show(self, id_: str | None, text: str, *, asks: bool) -> None:
        hint = self.answer_hint() if asks else ""
        await self.desk.show(Display(f"{text}\n{hint}" if hint else text), id_)

    def _accept(self, id_: str, result: Routed | NotAccepted) -> None:
        if id_ in self._acceptances:
            self._acceptances[id_].set(result)
