"""The base of a channel that stands before another one, such as a recorder."""

from attrs import frozen

from nanoclaw.channels.agents import Agents, UsesAgents
from nanoclaw.channels.protocol import Capabilities, Channel, capabilities_of
from nanoclaw.channels.state import ChannelState, UsesState


@frozen
class ChannelWrapper:
    """A channel with the type and the capabilities of another one. A subclass adds `sender` and `receive`."""

    channel: Channel

    @property
    def channel_type(self) -> str:
        """The type of the wrapped channel."""
        return self.channel.channel_type

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the wrapped channel."""
        return capabilities_of(self.channel)

    def use_state(self, state: ChannelState, /) -> None:
        """Pass the state on, if the wrapped channel keeps some."""
        if isinstance(self.channel, UsesState):
            self.channel.use_state(state)

    def use_agents(self, agents: Agents, /) -> None:
        """Pass the agents on, if the wrapped channel uses them."""
        if isinstance(self.channel, UsesAgents):
            self.channel.use_agents(agents)
