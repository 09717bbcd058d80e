"""The channel: its sender owns the server and the transcript, its receiver hands events to the host."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random, SystemRandom

import structlog
from attrs import Factory, define

from nanoclaw.channels.agents import Agents
from nanoclaw.channels.extras import install_command
from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.handover import Handover
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.rooms import PREFIX
from nanoclaw.channels.protocol import Capabilities, ChannelUnavailable, Sender
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import Intake
from nanoclaw.store import Executor, StoreError, ThreadExecutor

CAPABILITIES = Capabilities(
    repeat="idempotent",
    buttons=True,
    drafts=True,
    card_edits=True,
    direct_chats=True,
    user_prefix=PREFIX,
)
INSTALL = f"install it with {install_command('http')}"

_log = structlog.get_logger()


@define(eq=False)
class HttpChannel:
    """The channel `http`."""

    config: HttpConfig
    context: ChannelContext
    capabilities: Capabilities = CAPABILITIES
    port: int | None = None
    """The port that it listens on; None while it does not."""
    _executor: Executor = Factory(ThreadExecutor)
    _random: Random = Factory(SystemRandom)
    _handover: Handover = Factory(Handover)
    _states: list[ChannelState] = Factory(list)
    _agents: list[Agents] = Factory(list)

    @property
    def channel_type(self) -> str:
        """The channel's name."""
        return self.context.name

    def use_state(self, state: ChannelState) -> None:
        """Keep the state, where the keys of users are."""
        self._states = [state]

    def use_agents(self, agents: Agents) -> None:
        """Keep the agents, for users who choose one."""
        self._agents = [agents]

    async def receive(self, intake: Intake) -> None:
        """Offer what clients post."""
        await self._handover.serve(intake)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """Open the transcript and the server.

        Raises:
            ChannelUnavailable: its address is in use, a file cannot be used, or a library is missing.
        """
        try:
            from nanoclaw.channels.http.running import running  # noqa: PLC0415 -- its libraries are an extra
        except ModuleNotFoundError as error:
            raise ChannelUnavailable(f"the library {error.name} is missing: {INSTALL}") from error
        try:
            async with running(
                self.config,
                self.context,
                self._handover,
                self._states[0],
                self._agents[0],
                self._executor,
                self._random,
            ) as (sender, port):
                self.port = port
                self._tell(port)
                yield sender
        except StoreError as error:
            raise ChannelUnavailable(f"its files cannot be used: {error}") from error
        finally:
            self.port = None

    def _tell(self, port: int) -> None:
        host, _ = self.config.place
        _log.info("http.listening", channel=self.channel_type, host=host, port=port)
        if not self.config.is_local:
            _log.warning("http.not_loopback", channel=self.channel_type, host=host)
