"""The channel: holds the connection while its sender is open, and hands its events to the receiver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import Factory, define, field

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.handover import Handover
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.slack.config import SlackConfig
from nanoclaw.channels.slack.connection import SlackConnection, open_connection, require_sdk
from nanoclaw.channels.slack.dialect import LONGEST
from nanoclaw.channels.slack.people import SlackNames
from nanoclaw.channels.slack.reading import Me, SlackReader
from nanoclaw.channels.slack.sending import SlackSender
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import Intake


@define(eq=False)
class SlackChannel:
    """A Slack app."""

    config: SlackConfig
    context: ChannelContext
    handover: Handover = Factory(Handover)
    media: Media = field(init=False)
    state: ChannelState | None = None

    def __attrs_post_init__(self) -> None:
        """Name the folder of files."""
        self.media = Media(self.context.folder / "media")

    @property
    def channel_type(self) -> str:
        """The name of its table."""
        return self.context.name

    @property
    def capabilities(self) -> Capabilities:
        """Slack has no typing sign for apps, and no key that would make a message idempotent."""
        return Capabilities(
            "look up",
            buttons=True,
            card_edits=True,
            typing=False,
            settled=False,
            drafts=True,
            direct_chats=True,
            longest_text=LONGEST,
            user_prefix="slack",
        )

    def use_state(self, state: ChannelState, /) -> None:
        """Keep the state."""
        self.state = state

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SlackSender]:
        """Open the connection and its socket."""
        if self.state is None:
            raise ChannelUnavailable("the channel has no state; call use_state first")
        bot, app = Secret(self.config.bot_token), Secret(self.config.app_token)
        token = await bot.read()
        async with (
            open_connection(self.config.api_base, token, await app.read()) as connection,
            trio.open_nursery() as nursery,
        ):
            sender = SlackSender(self.channel_type, connection, self.state)
            reader = await self._reader(connection, token, self.state)
            await self.media.clean()
            await sender.remove_old_drafts()
            opened = trio.Event()
            nursery.start_soon(connection.keep_socket, opened)
            await opened.wait()
            nursery.start_soon(reader.run)
            nursery.start_soon(bot.watch)
            nursery.start_soon(app.watch)
            yield sender
            nursery.cancel_scope.cancel()

    async def _reader(self, connection: SlackConnection, token: str, state: ChannelState) -> SlackReader:
        who = await connection.call("auth.test")
        user, bot = (str(who.get(key) or "") for key in ("user_id", "bot_id"))
        return SlackReader(
            self.channel_type,
            Me(user, bot, self.context.assistant_name),
            connection,
            SlackNames(connection),
            self.media,
            self.config.api_base,
            token,
            self.handover,
            state,
        )

    async def receive(self, intake: Intake, /) -> None:
        """Offer the events of whatever connection there is."""
        await self.handover.serve(intake)


def make(config: SlackConfig, context: ChannelContext) -> SlackChannel:
    """Make the channel. Raises ConfigError if slack_sdk is not installed."""
    require_sdk()
    return SlackChannel(config, context)
