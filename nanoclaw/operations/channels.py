"""The noun `channels`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import trio
from attrs import frozen

from nanoclaw.channels.accounts import read_account
from nanoclaw.operations.declaration import Listed, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import LOCAL_USER, Right
from nanoclaw.operations.types import AgentRef
from nanoclaw.records.pairing import NewCode, PairingCode
from nanoclaw.records.status import ChannelReport
from nanoclaw.registry import CreatePairingCode, ForgetPairingCode
from nanoclaw.store import Connection, NotAllowed, NotFound
from nanoclaw.store.central import agent_groups, pairing_codes

COLUMNS = ("name", "type", "account", "state")
MAIN = "main"
"""The folder of the agent that answers the owner, unless another one is named."""
NOT_RUNNING = "not running"

ChannelName = Annotated[str, Listed("channels.list", "name", by="name")]
"""The name of a channel."""
PairingState = Literal["waiting", "paired", "expired", "none"]


@frozen
class ChannelView:
    """A channel of the configuration or of the running host."""

    name: str
    type: str
    account: str | None
    """The assistant's account on the network, as the setup found it."""
    state: str
    """running, or why not: down, unauthorized, conflict, rate limited, starting, not running."""


@frozen
class PairingView:
    """A new code for pairing."""

    channel: str
    code: str
    expires_at: datetime


@frozen
class PairingProgress:
    """The state of the last code of a channel."""

    channel: str
    state: PairingState
    user: str | None
    """Who has paired."""
    expires_at: datetime | None
    told: bool = True
    """True if nothing is left to tell the chat in which the code was used."""


@frozen
class Channels(Noun):
    """The chat networks that the assistant is connected to."""

    name = "channels"
    summary = "the chat networks that the assistant is connected to"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[ChannelView]:
        """List the channels with their accounts and states."""
        channels = self._ground.channels
        config, running = channels.config, {each.name: each for each in channels.reports()}
        tables = config.channels if config is not None else {}
        names = [*running, *(name for name in tables if name not in running)]
        accounts = {} if config is None else {name: read_account(config.data, name) for name in names}
        await trio.lowlevel.checkpoint()
        return [
            ChannelView(
                name,
                str(tables[name].type) if name in tables else name,
                account.name if (account := accounts.get(name)) is not None else None,
                _state(running.get(name)),
            )
            for name in names
        ]

    @operation(right=Right.OWNER)
    async def pair(self, channel: ChannelName, *, agent: AgentRef | None = None) -> PairingView:
        """Make a code by which you show who you are on a chat network.

        Write it to the assistant in a direct chat within ten minutes. The account that writes it becomes an
        account of yours, as an owner. A code works once, and a new one replaces it.

        Args:
            channel: the channel's name.
            agent: who answers in that chat: an agent's folder, name or id; default: main.
        """
        self._require_known(channel)
        person = LOCAL_USER if self._caller.user_id is None else self._caller.user_id
        group: str = await self._central.run(_main) if agent is None else agent
        new = NewCode.generate(self._ground.random)
        stored: PairingCode = await self._registry.ask(
            CreatePairingCode(channel, new.code_hash, new.salt, person, group)
        )
        return PairingView(channel, new.code, stored.expires_at)

    @operation(right=Right.OWNER, reads=True)
    async def pairing(self, channel: ChannelName) -> PairingProgress:
        """Show what has become of the last code of a channel.

        Args:
            channel: the channel's name.
        """
        code = await self._central.run(pairing_codes.get, channel)
        if code is None:
            return PairingProgress(channel, "none", None, None)
        if code.used_by is not None:
            return PairingProgress(channel, "paired", code.used_by, code.expires_at, code.answer is None)
        waits = self._ground.now() < code.expires_at
        return PairingProgress(channel, "waiting" if waits else "expired", None, code.expires_at)

    @operation(right=Right.OWNER)
    async def unpair(self, channel: ChannelName) -> PairingProgress:
        """Make the last code of a channel void. Who has paired stays paired: `users unlink` ends that.

        Args:
            channel: the channel's name.
        """
        await self._registry.ask(ForgetPairingCode(channel))
        return PairingProgress(channel, "none", None, None)

    @operation(right=Right.OWNER)
    async def start(self, channel: ChannelName) -> ChannelView:
        """Start a channel in the running host as its configuration is now, or start it again.

        Args:
            channel: the channel's name.
        """
        await self._ground.channels.start(channel)
        return await self._view(channel)

    @operation(right=Right.OWNER)
    async def stop(self, channel: ChannelName) -> ChannelView:
        """Stop a channel until the host starts again. Messages for it wait.

        Args:
            channel: the channel's name.
        """
        before = await self._view(channel)
        await self._ground.channels.stop(channel)
        return ChannelView(before.name, before.type, before.account, NOT_RUNNING)

    async def _view(self, channel: str) -> ChannelView:
        for each in await self.list():
            if each.name == channel:
                return each
        raise NotFound(f"there is no channel {channel!r:.140}; `nanoclaw channels list` shows them")

    def _require_known(self, channel: str) -> None:
        """Raise NotAllowed for a channel that is neither configured nor running, or has no direct chats."""
        channels = self._ground.channels
        known = {each.name for each in channels.reports()}
        if channels.config is not None:
            known |= channels.config.channels.keys()
        if channel not in known or channel == "cli":
            raise NotAllowed(
                f"there is no channel {channel!r:.140} to pair with; `nanoclaw channels add` adds one"
            )


def _state(report: ChannelReport | None) -> str:
    return NOT_RUNNING if report is None else report.condition or "running"


def _main(connection: Connection) -> str:
    """Return the id of the agent that answers the owner by default."""
    groups = agent_groups.every(connection)
    main = [group for group in groups if group.folder == MAIN] or (groups if len(groups) == 1 else [])
    if not main:
        raise NotFound(f"there is no agent {MAIN}; name one with --agent")
    return main[0].id
