"""The Matrix channel: one account on one server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random, SystemRandom

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.handover import Handover
from nanoclaw.channels.matrix.config import MatrixConfig
from nanoclaw.channels.matrix.drafts import Drafts
from nanoclaw.channels.matrix.incoming import PREFIX, Incoming
from nanoclaw.channels.matrix.login import Login, new_device
from nanoclaw.channels.matrix.media import ServerFiles
from nanoclaw.channels.matrix.sending import MatrixSender
from nanoclaw.channels.matrix.server import Server, open_server
from nanoclaw.channels.matrix.syncing import TELL_AFTER_S, Syncing
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable
from nanoclaw.channels.state import ChannelState
from nanoclaw.config import ConfigError
from nanoclaw.records import Intake
from nanoclaw.system.foreign import ungrouped

CAPABILITIES = Capabilities(
    "idempotent",
    settled=False,
    drafts=True,
    direct_chats=True,
    user_prefix=PREFIX,
)

_log = structlog.get_logger()


@define(eq=False)
class MatrixChannel:
    """Connects to a Matrix server while its sender is open."""

    config: MatrixConfig
    context: ChannelContext
    tell_after_s: float = TELL_AFTER_S
    """Seconds that the key of a message may be late before its room is told."""
    _handover: Handover = Factory(Handover)
    _random: Random = Factory(SystemRandom)
    _state: ChannelState | None = None
    _login: Login = field(init=False)
    _media: Media = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make what needs the configuration. Nothing connects yet."""
        self._login = Login(self.config, self.context, lambda: new_device(self._random))
        self._media = Media((self.context.folder / "media").absolute())

    @property
    def channel_type(self) -> str:
        """See `Channel.channel_type`."""
        return self.context.name

    @property
    def capabilities(self) -> Capabilities:
        """See `Channel.capabilities`."""
        return CAPABILITIES

    def use_state(self, state: ChannelState, /) -> None:
        """See `UsesState.use_state`."""
        self._state = state

    async def receive(self, intake: Intake, /) -> None:
        """See `Channel.receive`."""
        await self._handover.serve(intake)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[MatrixSender]:
        """See `Channel.sender`."""
        try:
            with ungrouped(ChannelUnavailable, ConfigError):
                async with self._connected() as sender:
                    yield sender
        except ConfigError as error:
            raise ChannelUnavailable(str(error)) from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[MatrixSender]:
        if self._state is None:
            raise ChannelUnavailable("the channel was given no state")
        session = await self._login.session()
        async with open_server(session, self._login.keys) as server:
            try:
                async with self._running(server, self._state) as sender:
                    yield sender
            finally:
                if server.unauthorized.is_set():
                    self._login.forget(same_device=server.is_soft_logout)

    @asynccontextmanager
    async def _running(self, server: Server, state: ChannelState) -> AsyncIterator[MatrixSender]:
        """Sync while the context is open."""
        await self._media.clean()
        server_files = ServerFiles(server)
        incoming = Incoming(self.channel_type, server, server_files.fetch)
        now = self.context.clock.now
        syncing = Syncing(
            server, incoming, self._handover, self._media, state, lambda: now().timestamp(), self.tell_after_s
        )
        news = await syncing.connect()
        drafts = Drafts(server, state, self._random)
        await drafts.clean()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(syncing.run, news)
            nursery.start_soon(self._watch, server)
            yield MatrixSender(
                self.channel_type,
                server,
                incoming,
                state,
                drafts,
                server_files,
                nursery,
                self.config.encrypt_direct_chats,
            )
            nursery.cancel_scope.cancel()

    async def _watch(self, server: Server) -> None:
        """Connect again when the secret changes, or the server no longer knows the session."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._login.secret.watch)
            await server.unauthorized.wait()
            raise ChannelUnavailable(
                "the server no longer knows the session; it logs in again", condition="unauthorized"
            )
