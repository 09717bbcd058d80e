"""Knows the chats, threads and servers of the bot: by the events of the gateway, or by asking."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import Factory, define

from nanoclaw.channels.discord.receiving import Me, Place
from nanoclaw.channels.discord.wire import DM, TEXT, THREADS, Channel, Guild, Unreadable, read
from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.records import Address

MOST_CHANNELS = 10_000
"""Limit of chats that are kept in memory. Others are asked for when they are needed."""
EVENTS = frozenset(
    {
        "CHANNEL_CREATE",
        "CHANNEL_DELETE",
        "CHANNEL_UPDATE",
        "GUILD_CREATE",
        "GUILD_DELETE",
        "GUILD_UPDATE",
        "THREAD_CREATE",
        "THREAD_DELETE",
        "THREAD_UPDATE",
    }
)
"""The events of the gateway that `learn` reads."""
Fetch = Callable[[str], Awaitable[object]]
"""Returns the JSON of a path of the HTTP API."""


@define(eq=False)
class Directory:
    """The chats that a bot can see."""

    channel_type: str
    """The name of our channel, the first part of its addresses."""
    me: Me
    _channels: OrderedDict[str, Channel] = Factory(OrderedDict)
    _roles: dict[str, frozenset[str]] = Factory(dict)

    def learn(self, event: str, data: Any) -> None:
        """Take what an event of `EVENTS` says. Raises Unreadable."""
        if event.endswith("_DELETE"):
            return
        if not event.startswith("GUILD"):
            self._keep(read(Channel, data))
            return
        guild = read(Guild, data)
        own = (role.id for role in guild.roles if role.tags and role.tags.bot_id == self.me.id)
        self._roles[guild.id] = frozenset(own)
        for each in (*guild.channels, *guild.threads):
            # The channels of a server do not name it.
            self._keep(Channel(each.id, each.type, each.name, guild.id, each.parent_id, each.recipients))

    def name(self, channel_id: str) -> str | None:
        """Return the name of a channel, if it is known."""
        known = self._channels.get(channel_id)
        return known.name if known else None

    def _keep(self, channel: Channel) -> None:
        self._channels[channel.id] = channel
        self._channels.move_to_end(channel.id)
        if len(self._channels) > MOST_CHANNELS:
            self._channels.popitem(last=False)

    async def place(self, channel_id: str, fetch: Fetch, *, in_guild: bool = True) -> Place:
        """Return the place of a channel of the network. Raises ChannelUnavailable.

        `in_guild` counts if Discord says nothing about the channel.
        """
        channel = await self._channel(channel_id, fetch, TEXT if in_guild else DM)
        if channel.type not in THREADS or channel.parent_id is None:
            return self._place(channel, Address(self.channel_type, channel_id))
        parent = await self._channel(channel.parent_id, fetch, TEXT)
        return self._place(parent, Address(self.channel_type, parent.id, channel_id))

    def _place(self, channel: Channel, address: Address) -> Place:
        if channel.type == DM:
            return Place(
                address, channel.recipients[0].name[:200] if channel.recipients else None, is_group=False
            )
        roles = self._roles.get(channel.guild_id or "", frozenset())
        return Place(address, (channel.name or "")[:200] or None, is_group=True, own_roles=roles)

    async def _channel(self, channel_id: str, fetch: Fetch, otherwise: int) -> Channel:
        """Return a channel, and know its server, too. A resumed session tells of neither."""
        if (known := self._channels.get(channel_id)) is not None:
            return known
        try:
            channel = read(Channel, await fetch(f"/channels/{channel_id}"))
            if channel.guild_id is not None and channel.guild_id not in self._roles:
                self.learn("GUILD_UPDATE", await fetch(f"/guilds/{channel.guild_id}"))
        except (DeliveryRejected, Unreadable):
            return Channel(channel_id, otherwise)
        self._keep(channel)
        return channel
