"""A fake Telegram and the channel that uses it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.state import ChannelState
from nanoclaw.channels.telegram import TelegramChannel, TelegramConfig
from nanoclaw.config.model import KeyConfig
from nanoclaw.records import Address
from nanoclaw.testing import MemoryState
from nanoclaw.testing.networks.telegram import FakeChat, FakeTelegram, open_fake_telegram

NAME = "family"
"""A name other than the network's: users have the network's prefix all the same."""


@define(eq=False)
class Stage:
    """A network, and a channel that is not yet connected."""

    telegram: FakeTelegram
    channel: TelegramChannel
    state: ChannelState
    folder: Path

    def address(self, chat: FakeChat, thread: int | None = None) -> Address:
        return Address(NAME, str(chat.id), None if thread is None else str(thread))

    def another(self, **settings: str) -> TelegramChannel:
        """Make the channel of the next process, with the same state."""
        return channel(self.telegram, self.folder, self.state, **settings)


def channel(telegram: FakeTelegram, folder: Path, state: ChannelState, **settings: str) -> TelegramChannel:
    token = folder / "token"
    token.write_text(telegram.token)
    config = TelegramConfig(KeyConfig(file=token), telegram.api_base, **settings)
    made = TelegramChannel(config, ChannelContext(NAME, folder, "UTC", "Andy"))
    made.use_state(state)
    return made


@asynccontextmanager
async def open_stage(**settings: str) -> AsyncIterator[Stage]:
    with TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        async with open_fake_telegram() as telegram:
            state = MemoryState()
            yield Stage(telegram, channel(telegram, Path(folder), state, **settings), state, Path(folder))
