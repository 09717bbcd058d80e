"""Pairing from the command line: shows a code, and waits until somebody has written it."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from secrets import SystemRandom
from typing import Any

import trio

from nanoclaw.channels.accounts import read_account
from nanoclaw.channels.extras import install_command, missing_packages
from nanoclaw.channels.factory import Account, read_channel
from nanoclaw.channels.terminal.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, Terminal, harmless
from nanoclaw.cli.client import Client, NoHost, NotRunning, RequestFailed, connect
from nanoclaw.cli.first_run import prepare_home
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config, ConfigError
from nanoclaw.control import Control
from nanoclaw.host import HostFailed, open_host

LOOK_S = 0.5
"""Seconds between looks at whether somebody has paired."""
TELL_S = 5.0
"""Longest delay in seconds of the end, until the chat has been told."""
EXPIRED = 1
"""Exit code: nobody has written the code in time."""
HOW_TO_PAIR = "Write this code to the assistant in a direct chat"
TELEGRAM_LINK = "https://t.me/"


async def ask(client: Client, method: str, **params: object) -> Any:
    """Make one request of the running host, and return its result. Raises NoHost, RequestFailed."""
    async with aclosing(client.results(method, **params)) as answers:
        async for answer in answers:
            if isinstance(answer, dict) and answer.get("type") == "note":
                tell(f"nanoclaw: {harmless(answer['text'])}")
            else:
                return answer
    raise NoHost("the host has stopped before it answered")


async def pair(
    config: Config, name: str, agent: str | None, reread: Callable[[], Config], *, waits: bool
) -> int:
    """Make a code, show it, and wait until it is used or has expired; return the exit code.

    If no host runs, one runs meanwhile. Without `waits` a host must run.

    Raises:
        NoHost, RequestFailed, ConfigError
    """
    try:
        async with connect(config.data) as client:
            return await _paired(client, config, name, agent, waits=waits)
    except NotRunning:
        if not waits:
            raise NoHost(
                f"no host runs that could hear the code; start it with `nanoclaw run`, then say "
                f"`nanoclaw channels pair {name}`"
            ) from None
    async with _own_host(config, name, reread), connect(config.data) as client:
        return await _paired(client, config, name, agent, waits=True)


@asynccontextmanager
async def _own_host(config: Config, name: str, reread: Callable[[], Config]) -> AsyncIterator[None]:
    """Run a host with one channel, which hears the code. Raises ConfigError."""
    from nanoclaw.channels.factory import make_channel  # noqa: PLC0415 -- only here a channel is made

    read_channel(config, name)
    type_ = str(config.channels[name].type)
    if missing := missing_packages(type_):
        raise ConfigError(missing_words(type_, missing))
    prepare_home(config, write_config=False)
    terminal = Terminal(None, SystemRandom(), zone=config.timezone, assistant=config.prompt.assistant_name)
    channels = [terminal, make_channel(config, name)]
    try:
        with silent():
            async with open_host(config, channels=channels, control=Control(terminal, None, reread)) as host:
                await host.bootstrap(CHAT, CHAT_NAME, owner_id=USER_ID, owner_name=USER_NAME)
                yield
    except HostFailed as error:
        raise ConfigError(str(error)) from error


def missing_words(type_: str, missing: tuple[str, ...]) -> str:
    """Return the error about packages that are not installed."""
    return (
        f"the channel {type_} needs packages that are not installed ({', '.join(missing)}); install them "
        f"with `{install_command(type_)}`"
    )


async def _paired(client: Client, config: Config, name: str, agent: str | None, *, waits: bool) -> int:
    params = {} if agent is None else {"agent": agent}
    code = await ask(client, "channels.pair", channel=name, **params)
    if not waits:
        show(json.dumps(code, indent=2, ensure_ascii=False))
        return 0
    _show_code(config, name, code["code"])
    return await _wait(client, name)


def _show_code(config: Config, name: str, code: str) -> None:
    how = HOW_TO_PAIR
    if name in config.channels:
        setup = read_channel(config, name).factory.setup
        how = (setup and setup.how_to_pair) or HOW_TO_PAIR
    show(harmless(f"{how}:\n\n    {code}\n"))
    if (link := link_of(read_account(config.data, name), code)) is not None:
        show(harmless(f"Or open {link}"))
    show("It is valid for 10 minutes. Ctrl-C stops waiting; what is configured stays.")


def link_of(account: Account | None, code: str) -> str | None:
    """Return the address that opens a chat with the assistant. Where the network can, it brings the code."""
    if account is None or account.link is None:
        return None
    with_code = account.link.startswith(TELEGRAM_LINK) and "?" not in account.link
    return f"{account.link}?start={code}" if with_code else account.link


async def _wait(client: Client, name: str) -> int:
    """Wait until the code is used, and its chat was told. Show what is wrong with the channel meanwhile."""
    shown: str | None = None
    while True:
        progress = await ask(client, "channels.pairing", channel=name)
        if progress["state"] == "paired":
            show(harmless(f"Paired: {progress['user']} is an account of yours now."))
            await _until_told(client, name)
            return 0
        if progress["state"] != "waiting":
            tell(f"nanoclaw: nobody has written the code; `nanoclaw channels pair {name}` makes a new one")
            return EXPIRED
        trouble = _trouble(await ask(client, "status"), name)
        if trouble is not None and trouble != shown:
            tell(f"nanoclaw: {harmless(trouble)}")
        shown = trouble
        await trio.sleep(LOOK_S)


async def _until_told(client: Client, name: str) -> None:
    for _ in range(int(TELL_S / LOOK_S)):
        if (await ask(client, "channels.pairing", channel=name))["told"]:
            return
        await trio.sleep(LOOK_S)


def _trouble(status: Mapping[str, Any], name: str) -> str | None:
    for channel in status["channels"]:
        if channel["name"] == name and channel.get("reason"):
            return f"{name} is {channel['condition']}: {channel['reason']}"
    return None


__all__ = ["RequestFailed", "ask", "link_of", "missing_words", "pair"]
