"""`nanoclaw chat`: talk to the running host, as at its own terminal."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from secrets import SystemRandom
from typing import Any

import trio
from attrs import Factory, define, field

from nanoclaw.channels.terminal.desk import Desk, FrontEnd
from nanoclaw.channels.terminal.pipe import Pipe
from nanoclaw.cli.client import Client, NoHost, RequestFailed, connect
from nanoclaw.cli.verdict import verdict
from nanoclaw.config import Config
from nanoclaw.records import NotAccepted, Routed

LEFT = "the host has stopped; if it has the message, it answers when it runs again"


@define(eq=False)
class _Acceptance:
    """The host's answer to a line: accepted or refused."""

    known: trio.Event = Factory(trio.Event)
    routed: Routed | None = None
    refusal: str = LEFT

    def set(self, routed: Routed | None, refusal: str = "") -> None:
        if not self.known.is_set():
            self.routed, self.refusal = routed, refusal
            self.known.set()


@define(eq=False)
class Remote:
    """A terminal whose lines go to the host, and which shows the host's replies."""

    client: Client
    front: FrontEnd
    left: str | None = None
    """The reason why the host is gone."""
    desk: Desk = field(
        init=False,
        default=Factory(lambda self: Desk(self.front, SystemRandom(), self.offer), takes_self=True),
    )
    _acceptances: dict[str, _Acceptance] = Factory(dict)

    async def offer(self, _desk: Desk, id_: str, text: str) -> Routed:
        """Send a line; return when the host has it on disk.

        Raises:
            NotAccepted: the host did not store it.
        """
        acceptance = self._acceptances[id_] = _Acceptance()
        try:
            if self.left is None:
                await self.client.send(id_, "chat", text=text)
                await acceptance.known.wait()
        except NoHost:
            pass
        finally:
            del self._acceptances[id_]
        if acceptance.routed is None:
            raise NotAccepted(acceptance.refusal)
        return acceptance.routed

    async def receive(self) -> None:
        """Receive from the host until it is gone. Lines that are still open then get no answer."""
        try:
            while True:
                await self._take(await self.client.receive())
        except NoHost:
            self.left = LEFT
        except RequestFailed as error:
            self.left = str(error)
        except OSError as error:
            self.left = f"nobody sees it here any more: {error.strerror}"
        for acceptance in self._acceptances.values():
            acceptance.set(None, self.left)
        for line in self.desk.lines.values():
            line.failed = line.failed or self.left
        self.desk.change()

    async def _take(self, answer: Mapping[str, Any]) -> None:
        id_ = answer["id"]
        match answer:
            case {"event": {"type": "message", "text": text}}:
                await self.desk.show(text, id_)
            case {"event": {"type": "typing"}}:
                self.desk.work()
            case {"event": {"type": "accepted", "sessions": sessions}}:
                self._accept(id_, Routed(tuple(sessions)))
            case {"result": {"failed": failed}}:
                self._accept(id_, Routed())
                self.desk.settled(id_, failed)
            case {"error": {"code": "dropped", "message": reason}}:
                self._accept(id_, Routed(dropped=reason))
            case {"error": {"message": reason}}:
                self._accept(id_, None, reason)

    def _accept(self, id_: str, routed: Routed | None, refusal: str = "") -> None:
        if id_ in self._acceptances:
            self._acceptances[id_].set(routed, refusal)


async def chat(config: Config, text: str | None, timeout_s: float, *, at_prompt: bool) -> int:
    """Send `text`, or the input, and show the replies. Return the exit code.

    Raises:
        NoHost: no host runs.
        RequestFailed: the host refuses the connection.
    """
    async with connect(config.data) as client:
        if at_prompt:
            return await _converse(client, config)
        return await _say(client, text, timeout_s)


async def _say(client: Client, text: str | None, timeout_s: float) -> int:
    """Send a text, or all lines of the input, and wait for the answers."""
    pipe = Pipe()
    remote = Remote(client, pipe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(remote.receive)
        if text is None:
            await pipe.read(remote.desk)
        with trio.move_on_after(timeout_s):
            if text is not None:
                await _say_once(remote, pipe, text)
            await remote.desk.settle()
        nursery.cancel_scope.cancel()
    late = f"there was none within {timeout_s:g} s; it is kept, and `nanoclaw chat` shows the answer"
    return verdict(pipe.refused, remote.desk.unanswered(), late)


async def _say_once(remote: Remote, pipe: Pipe, text: str) -> None:
    try:
        await remote.desk.say(text)
    except NotAccepted as error:
        pipe.refused[1] = str(error)


async def _converse(client: Client, config: Config) -> int:
    """Show a prompt until EOF, or until the host is gone."""
    from nanoclaw.channels.terminal.prompt import Prompt  # noqa: PLC0415 -- prompt_toolkit is only wanted on a terminal

    prompt = Prompt(config.prompt.assistant_name, config.home / "history")
    remote = Remote(client, prompt)
    async with trio.open_nursery() as nursery:

        async def until_left() -> None:
            await remote.receive()
            nursery.cancel_scope.cancel()

        await client.send("listen", "listen")
        nursery.start_soon(until_left)
        await prompt.read(remote.desk)
        nursery.cancel_scope.cancel()
    if remote.left is not None:
        with suppress(OSError):
            print(f"nanoclaw: {remote.left}", file=sys.stderr)
        return 1
    return 0
