"""A bot of Discord with its fake network, for tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from attrs import frozen

from nanoclaw.channels.discord.channel import DiscordChannel, make
from nanoclaw.channels.discord.config import DiscordConfig
from nanoclaw.channels.factory import ChannelContext
from nanoclaw.config.model import KeyConfig
from nanoclaw.records import Address, Outgoing, TextContent
from nanoclaw.testing import MemoryState
from nanoclaw.testing.networks.discord import FakeDiscord, open_fake_discord

ANN = "7"
SOON_S = 10.0


@frozen
class Bot:
    """A bot and its network, with a direct chat of Ann."""

    discord: FakeDiscord
    state: MemoryState
    folder: Path
    chat: str

    @property
    def address(self) -> Address:
        """The direct chat."""
        return Address("discord", self.chat)

    def channel(self) -> DiscordChannel:
        """Return the channel of a new process: it knows only what was saved."""
        return channel_of(self.discord, self.folder, self.state)

    def says(self, text: str, key: str | None = None, **more: object) -> Outgoing:
        """Return a message of the host."""
        return Outgoing(key or f"out-{text[:20]}", self.address, TextContent(text, **more))  # type: ignore[arg-type]  # of one of its fields


def channel_of(
    discord: FakeDiscord, folder: Path, state: MemoryState, name: str = "discord"
) -> DiscordChannel:
    """Return a channel for a fake network."""
    token = folder / f"{name}-token"
    token.write_text(discord.token)
    config = DiscordConfig(KeyConfig(file=token), discord.api_base, discord.gateway)
    channel = make(config, ChannelContext(name, folder / name, "UTC", "Nano"))
    channel.use_state(state)
    return channel


@asynccontextmanager
async def open_bot() -> AsyncIterator[Bot]:
    """Open a network with a bot."""
    with TemporaryDirectory() as folder:
        async with open_fake_discord() as discord:
            yield Bot(discord, MemoryState(), Path(folder), discord.direct_chat(ANN, "ann"))


async def soon(holds: Callable[[], object], within_s: float = SOON_S) -> None:
    """Wait until something holds that another process or task brings about. Fail if it takes too long."""
    with trio.fail_after(within_s):
        while not holds():  # noqa: ASYNC110 -- the fake network has no event for it
            await trio.sleep(0.01)


async def until_taken(channel: DiscordChannel, discord: FakeDiscord) -> None:
    """Wait until the host has all events: from then on the bot would not ask for them again."""

    def has_all() -> bool:
        session = channel.progress.session if channel.progress else None
        return session is not None and session.sequence >= discord.sessions.sequence

    await soon(has_all)
