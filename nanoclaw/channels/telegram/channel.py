"""The channel: its connection, and what runs while it is open. The SDK is imported when it connects."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable, Sender
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.state import ChannelState
from nanoclaw.channels.telegram.config import TelegramConfig
from nanoclaw.channels.telegram.moves import Moves
from nanoclaw.channels.telegram.sdk import needs_sdk
from nanoclaw.records import Intake

if TYPE_CHECKING:
    from nanoclaw.channels.telegram.batches import Batches
    from nanoclaw.channels.telegram.connection import Connection

LONGEST_TEXT = 4096

CAPABILITIES = Capabilities(
    repeat="again",  # Telegram takes no idempotency key, and bots cannot read what they sent
    buttons=True,
    settled=False,
    drafts=True,
    card_edits=True,
    direct_chats=True,
    longest_text=LONGEST_TEXT,
    user_prefix="tg",
)


@define(eq=False)
class TelegramChannel:
    """A bot of Telegram."""

    config: TelegramConfig
    context: ChannelContext
    capabilities: Capabilities = CAPABILITIES
    _media: Media = field(init=False)
    _state: ChannelState | None = field(default=None, init=False)
    _connection: "Connection | None" = field(default=None, init=False)
    _connected: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Name the folder of files."""
        self._media = Media(self.context.folder / "media")

    @classmethod
    def make(cls, config: TelegramConfig, context: ChannelContext) -> "TelegramChannel":
        """Make the channel. It connects when its sender is opened."""
        return cls(config, context)

    @property
    def channel_type(self) -> str:
        """The name of its table."""
        return self.context.name

    def use_state(self, state: ChannelState, /) -> None:
        """Keep the state."""
        self._state = state

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Connect. It ends when the token changes."""
        with needs_sdk():
            from nanoclaw.channels.telegram.connection import open_connection  # noqa: PLC0415
            from nanoclaw.channels.telegram.drafting import Drafts  # noqa: PLC0415
            from nanoclaw.channels.telegram.keyboards import Keyboards  # noqa: PLC0415
            from nanoclaw.channels.telegram.sending import TelegramSender  # noqa: PLC0415

        state, secret = self._kept_state(), Secret(self.config.token)
        moves = Moves(state)
        await moves.load()
        token = await secret.read()
        async with (
            open_connection(token, self.config.api_base, moves) as connection,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(secret.watch)
            drafts = Drafts(connection, state, nursery)
            await drafts.remove_old()
            with self._is_open(connection):
                yield TelegramSender(self.channel_type, connection, state, drafts, Keyboards(state))
            nursery.cancel_scope.cancel()

    async def receive(self, intake: Intake, /) -> None:
        """Offer updates while a connection is open."""
        while True:
            await self._connected.wait()
            if self._connection is not None:
                await self._receive(self._connection, intake)

    async def _receive(self, connection: "Connection", intake: Intake) -> None:
        """Offer updates until the connection is closed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_updates, connection, intake)
            await connection.closed.wait()
            nursery.cancel_scope.cancel()

    async def _take_updates(self, connection: "Connection", intake: Intake) -> None:
        batches = await self._batches(connection, intake)
        if self.config.webhook is None:
            from nanoclaw.channels.telegram.polling import Poll  # noqa: PLC0415 -- the SDK is there by now

            await connection.unhook()
            await Poll(connection, batches).run()
        else:
            with needs_sdk("http"):
                from nanoclaw.channels.telegram.webhook import Webhook  # noqa: PLC0415

            await Webhook(connection, batches, self.config.webhook, self.config.webhook_listen).run()

    async def _batches(self, connection: "Connection", intake: Intake) -> "Batches":
        from nanoclaw.channels.telegram.batches import Batches  # noqa: PLC0415 -- the SDK is there by now
        from nanoclaw.channels.telegram.fetching import Fetcher  # noqa: PLC0415
        from nanoclaw.channels.telegram.keyboards import Keyboards  # noqa: PLC0415
        from nanoclaw.channels.telegram.receiving import Reader  # noqa: PLC0415

        await self._media.clean()
        me = connection.me
        reader = Reader(self.channel_type, me.id, me.username or "", connection.moves)
        fetcher, keyboards = Fetcher(connection, self._media), Keyboards(self._kept_state())
        return Batches(connection, reader, fetcher, keyboards, self.context.clock, intake)

    def _kept_state(self) -> ChannelState:
        if self._state is None:
            raise ChannelUnavailable("the host has not given this channel its state: call use_state first")
        return self._state

    @contextmanager
    def _is_open(self, connection: "Connection") -> Iterator[None]:
        """Let the receiver use a connection while the block runs."""
        self._connection = connection
        self._connected.set()
        try:
            yield
        finally:
            self._connection, self._connected = None, trio.Event()
            connection.closed.set()
