"""The channel: holds the connection while its sender is open, and hands its events to the receiver."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
import trio
from attrs import Factory, define

from nanoclaw.channels.asyncio_loop import open_asyncio_loop
from nanoclaw.channels.discord.buttons import Buttons
from nanoclaw.channels.discord.config import DiscordConfig
from nanoclaw.channels.discord.dialect import LONGEST
from nanoclaw.channels.discord.directory import Directory
from nanoclaw.channels.discord.incoming import Incoming
from nanoclaw.channels.discord.interactions import COMMANDS, Interactions
from nanoclaw.channels.discord.progress import Progress
from nanoclaw.channels.discord.receiving import PREFIX
from nanoclaw.channels.discord.sending import DiscordSender
from nanoclaw.channels.discord.sent import SentMessages
from nanoclaw.channels.extras import install_command
from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.handover import Handover
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.config import ConfigError
from nanoclaw.records import Intake
from nanoclaw.system.foreign import ungrouped

if TYPE_CHECKING:
    from nanoclaw.channels.discord.sdk import Connection

READY_S = 30.0
"""Time limit in seconds of beginning or resuming a session."""
DRAFTS_S = 5.0
"""Time limit in seconds of removing the drafts of a process that was killed."""
REFUSED_S = 300.0
"""The pause after Discord has refused the bot, unless its token is changed. A person must do something."""

_log = structlog.get_logger()


@define(eq=False)
class DiscordChannel:
    """A bot of Discord."""

    config: DiscordConfig
    context: ChannelContext
    media: Media
    handover: Handover = Factory(Handover)
    state: ChannelState | None = None
    progress: Progress | None = None
    """How far the host has the events, once the channel was connected."""
    _refused: Secret | None = None
    """The token, if Discord refused it or the bot's rights."""

    @property
    def channel_type(self) -> str:
        """The name of its table."""
        return self.context.name

    @property
    def capabilities(self) -> Capabilities:
        """A nonce makes a message idempotent for minutes only, so the history is asked, too."""
        return Capabilities(
            "look up",
            buttons=True,
            card_edits=True,
            settled=False,
            drafts=True,
            direct_chats=True,
            longest_text=LONGEST,
            user_prefix=PREFIX,
        )

    def use_state(self, state: ChannelState, /) -> None:
        """Keep the state."""
        self.state = state

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[DiscordSender]:
        """Connect the bot."""
        await self._pause()
        secret = Secret(self.config.token)
        async with (
            self._noting_refusals(secret),
            self._connection(await secret.read()) as connection,
            trio.open_nursery() as nursery,
        ):
            sender, incoming = await self._parts(connection, nursery)
            nursery.start_soon(connection.listen, incoming.progress.session, incoming.take)
            with trio.move_on_after(READY_S) as scope:
                await incoming.ready.wait()
            if scope.cancelled_caught:
                raise ChannelUnavailable(f"Discord began no session within {READY_S:g} s")
            nursery.start_soon(incoming.progress.keep_saving)
            nursery.start_soon(secret.watch)
            nursery.start_soon(self._register, connection)
            yield sender
            nursery.cancel_scope.cancel()

    async def _pause(self) -> None:
        """Wait after Discord has refused the bot. It locks bots that begin too many sessions."""
        if self._refused is not None:
            with trio.move_on_after(REFUSED_S):
                await self._refused.changed()

    @asynccontextmanager
    async def _noting_refusals(self, secret: Secret) -> AsyncIterator[None]:
        """Note a refusal. Raise why the connection ended without the groups of nurseries around it."""
        self._refused = None
        try:
            with ungrouped(ChannelUnavailable):
                yield
        except ChannelUnavailable as error:
            if error.condition == "unauthorized":
                self._refused = secret
            raise

    @asynccontextmanager
    async def _connection(self, token: str) -> AsyncIterator["Connection"]:
        from nanoclaw.channels.discord.sdk import open_connection  # noqa: PLC0415 -- it imports discord.py

        async with (
            open_asyncio_loop() as loop,
            open_connection(loop, token, self.config.api_base, self.config.gateway) as connection,
        ):
            yield connection

    async def _parts(self, connection: "Connection", nursery: trio.Nursery) -> tuple[DiscordSender, Incoming]:
        """Return the sending and the receiving half, with what was saved of both."""
        try:
            if self.progress is None:
                progress = Progress(self.state)
                await progress.load()
                self.progress = progress
            directory, buttons = Directory(self.channel_type, connection.me), Buttons(self.state)
            await self.media.clean()
            talk = Interactions(connection, self.handover, directory, buttons)
            incoming = Incoming(
                connection,
                self.handover,
                directory,
                self.progress,
                self.media,
                self.config.api_base,
                talk.take,
                nursery,
            )
            sender = DiscordSender(
                self.channel_type, connection, SentMessages(self.state), buttons, incoming.latest.get
            )
            with trio.move_on_after(DRAFTS_S):
                await sender.remove_old_drafts()
        except (StateError, OSError) as error:
            raise ChannelUnavailable(f"the channel cannot read its own data: {error}") from error
        return sender, incoming

    async def _register(self, connection: "Connection") -> None:
        """Register the commands, if Discord does not have them yet."""
        wanted = hashlib.sha256(json.dumps([connection.me.application_id, COMMANDS]).encode()).hexdigest()
        with suppress(StateError):
            if self.state is not None and await self.state.get("commands") == wanted:
                return
            path, application = "/applications/{application_id}/commands", connection.me.application_id
            try:
                await connection.call("PUT", path, json=list(COMMANDS), application_id=application)
            except (ChannelUnavailable, DeliveryRejected) as error:
                _log.warning("discord.commands_not_registered", reason=str(error))
                return
            if self.state is not None:
                await self.state.set("commands", wanted)

    async def receive(self, intake: Intake, /) -> None:
        """Offer the events of whatever connection there is."""
        await self.handover.serve(intake)


def make(config: DiscordConfig, context: ChannelContext) -> DiscordChannel:
    """Make the channel. Raises ConfigError if discord.py is not installed."""
    require_sdk()
    return DiscordChannel(config, context, Media(context.folder / "media"))


def require_sdk() -> None:
    """Raise ConfigError if discord.py is not installed."""
    if find_spec("discord") is None:
        raise ConfigError(f"Discord needs discord.py; install it with {install_command('discord')}")
