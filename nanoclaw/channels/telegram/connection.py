"""The connection to Telegram: the SDK's bot, who it is, and its updates as raw JSON."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx2
import structlog
import trio
from attrs import define, field
from telegram import Bot, User
from telegram.error import InvalidToken, TelegramError

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.telegram.faults import as_unavailable
from nanoclaw.channels.telegram.moves import Moves
from nanoclaw.channels.telegram.request import READ_S, TrioRequest

POLL_S = 50
"""Seconds for which a poll waits for an update."""
KINDS = (
    "message",
    "edited_message",
    "callback_query",
    "message_reaction",
    "my_chat_member",
)
"""The updates that the bot wants."""
MOST_UPDATES = 100

_log = structlog.get_logger()


@define(eq=False)
class Connection:
    """A bot that is connected."""

    bot: Bot
    me: User
    client: httpx2.AsyncClient
    moves: Moves
    closed: trio.Event = field(factory=trio.Event)

    async def updates(self, offset: int | None, wait_s: int = POLL_S) -> Sequence[Any]:
        """Confirm the updates before the offset, and return those after it, as JSON.

        The SDK would read all of them at once, and fail for one that it cannot read.

        Raises:
            ChannelUnavailable: Telegram cannot be asked now.
        """
        asked: dict[str, Any] = {
            "timeout": wait_s,
            "limit": MOST_UPDATES,
            "allowed_updates": json.dumps(KINDS),
        }
        asked |= {} if offset is None else {"offset": offset}
        url = f"{self.bot.base_url}/getUpdates?{urlencode(asked)}"
        with as_unavailable():
            found: object = await self.bot.request.post(url, read_timeout=wait_s + READ_S)
        if not isinstance(found, list):
            raise ChannelUnavailable("Telegram answered getUpdates with something that is no list")
        return found

    async def unhook(self) -> None:
        """Have updates polled, in case a webhook is set.

        Raises:
            ChannelUnavailable: Telegram cannot be asked now.
        """
        with as_unavailable():
            info = await self.bot.get_webhook_info()
            if info.url:
                _log.warning("telegram.webhook_removed", webhook=info.url)
                await self.bot.delete_webhook(drop_pending_updates=False)

    @asynccontextmanager
    async def download(self, file_id: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Fetch a file of a message in chunks.

        Raises:
            TelegramError: Telegram does not give it; or the connection was lost.
        """
        found = await self.bot.get_file(file_id)
        try:
            async with self.client.stream("GET", found.file_path or "", timeout=READ_S) as response:
                if not response.is_success:
                    raise TelegramError(f"HTTP status {response.status_code}")
                yield response.aiter_bytes()
        except httpx2.HTTPError as error:
            raise TelegramError(f"the download broke off: {type(error).__name__}") from error


@asynccontextmanager
async def open_bot(token: str, api_base: str) -> AsyncGenerator[Bot]:
    """Make the SDK's bot, without a request.

    Raises:
        ChannelUnavailable: the text is no token.
    """
    async with await _client(api_base) as client:
        yield _bot(token, api_base, client)


@asynccontextmanager
async def open_connection(token: str, api_base: str, moves: Moves) -> AsyncGenerator[Connection]:
    """Connect.

    Raises:
        ChannelUnavailable: Telegram refuses the token, or cannot be reached.
    """
    async with await _client(api_base) as client:
        bot = _bot(token, api_base, client)
        yield Connection(bot, await identity(bot), client, moves)


async def identity(bot: Bot) -> User:
    """Return the bot's own account.

    Raises:
        ChannelUnavailable: Telegram refuses the token, or cannot be reached.
    """
    with as_unavailable():
        return await bot.get_me()


def _bot(token: str, api_base: str, client: httpx2.AsyncClient) -> Bot:
    request = TrioRequest(client)
    try:
        return Bot(
            token,
            base_url=f"{api_base}/bot",
            base_file_url=f"{api_base}/file/bot",
            request=request,
            get_updates_request=request,
        )
    except InvalidToken as error:
        raise ChannelUnavailable(
            "the text that should be the bot's token is none", condition="unauthorized"
        ) from error


async def _client(api_base: str) -> httpx2.AsyncClient:
    """Make the client in a thread, as it reads the certificates of the system, if they are needed."""
    for name in ("httpx2", "httpcore2", "telegram"):  # they log addresses, which have the token
        logging.getLogger(name).setLevel(logging.WARNING)
    tls = api_base.startswith("https:")
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20.0)
    return await trio.to_thread.run_sync(
        partial(httpx2.AsyncClient, follow_redirects=False, limits=limits, verify=tls)
    )
