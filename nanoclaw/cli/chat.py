"""`nanoclaw chat`: talk to the running host, as at its own terminal."""

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from nanoclaw.channels.terminal.desk import NotConfirmed
from nanoclaw.channels.terminal.pipe import Pipe
from nanoclaw.channels.terminal.words import greeting
from nanoclaw.cli.client import NoHost, RequestFailed, connect
from nanoclaw.cli.remote import LEFT, Remote
from nanoclaw.cli.verdict import verdict
from nanoclaw.config import Config
from nanoclaw.records import NotAccepted

if TYPE_CHECKING:
    from nanoclaw.channels.terminal.prompt import Prompt

AGAIN_S = 0.5
"""Seconds between attempts to reach a host that has stopped."""


async def chat(config: Config, text: str | None, timeout_s: float, command: str) -> int:
    """Send `text`, or the lines of the input, and show the replies. Return the exit code.

    `command` is the one that was typed, without the text: a question says how to answer with it.

    Raises:
        NoHost: no host runs.
        RequestFailed: the host refuses the connection.
    """
    pipe = Pipe()
    remote = Remote(pipe, answer_hint=partial("For example: {} 1".format, command))
    async with connect(config.data) as client:
        await remote.listen(client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(remote.receive)
            if text is None:
                await pipe.read(remote.desk)
            with trio.move_on_after(timeout_s):
                if text is not None:
                    await _say_once(remote, pipe, text)
                await remote.desk.settle()
            nursery.cancel_scope.cancel()
    late = (
        f"no answer within {timeout_s:g} s; it is kept: `nanoclaw status` says what it waits for, and "
        "`nanoclaw chat` shows the answer"
    )
    return verdict(pipe.refused, remote.desk.unanswered(), late)


async def _say_once(remote: Remote, pipe: Pipe, text: str) -> None:
    try:
        await remote.desk.say(text)
    except NotConfirmed as error:
        pipe.refused[1] = f"was sent, not confirmed: {error}"
    except NotAccepted as error:
        pipe.refused[1] = f"was not sent: {error}"


# -- a prompt ------------------------------------------------------------------


async def converse(config: Config) -> int:
    """Show a prompt until the end of its input. If the host stops, wait until it runs again.

    Raises:
        NoHost: no host runs at the beginning.
        RequestFailed: the host refuses the connection.
    """
    from nanoclaw.channels.terminal.prompt import Prompt  # noqa: PLC0415 -- prompt_toolkit is only wanted on a terminal

    prompt = Prompt(config.prompt.assistant_name, config.home / "history")
    remote = Remote(prompt, drafts=True)
    async with connect(config.data) as client:
        prompt.greeting = greeting(prompt.assistant, await remote.listen(client))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stay_connected, config, remote, prompt)
            await prompt.read(remote.desk)
            nursery.cancel_scope.cancel()
    return 0


async def _stay_connected(config: Config, remote: Remote, prompt: "Prompt") -> None:
    with suppress(OSError):  # the terminal is gone, so the prompt ends as well
        await remote.receive()
        while True:
            await _say_left(remote, prompt)
            await _reconnect(config, remote, prompt)


async def _say_left(remote: Remote, prompt: "Prompt") -> None:
    """Say that the host is gone, and what that means for each message that it has not answered."""
    open_lines = len(remote.desk.lines)
    remote.desk.forget()
    lost = f" {open_lines} unanswered: it answers when it runs again." if open_lines else ""
    why = "the host has stopped" if remote.left == LEFT else remote.left
    await prompt.note(f"{why}; waiting for it to run again.{lost}")


async def _reconnect(config: Config, remote: Remote, prompt: "Prompt") -> None:
    while True:
        await trio.sleep(AGAIN_S)
        try:
            async with connect(config.data) as client:
                await remote.listen(client)
                await prompt.note("the host runs again")
                await remote.receive()
        except (NoHost, RequestFailed):  # it starts, stops, or has too many clients
            continue
        return
