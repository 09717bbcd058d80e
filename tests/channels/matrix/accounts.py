"""Channels for accounts of a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.matrix import MatrixChannel, MatrixConfig
from nanoclaw.channels.matrix.sending import MatrixSender
from nanoclaw.config.model import KeyConfig
from nanoclaw.testing import MemoryState
from tests.channels.matrix.synapse import PASSWORD


def matrix_config(base: str, user: str, folder: Path) -> MatrixConfig:
    """Return the configuration of an account with the tests' password."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    return MatrixConfig(base, user, password=KeyConfig(file=secret))


def channel(base: str, user: str, folder: Path, state: MemoryState | None = None) -> MatrixChannel:
    """Return a channel with a folder and a state of its own."""
    made = MatrixChannel(
        matrix_config(base, user, folder), ChannelContext("matrix", folder / "matrix", "UTC", "Ada")
    )
    made.use_state(state or MemoryState())
    return made


@asynccontextmanager
async def connected(it: MatrixChannel) -> AsyncIterator[MatrixSender]:
    async with it.sender() as sender:
        yield sender
