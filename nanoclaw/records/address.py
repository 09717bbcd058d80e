"""The address of a message."""

from attrs import frozen

from nanoclaw.records.checking import Id, Name

AGENT = "agent"
"""The channel type of messages from agent to agent; the platform id is an agent group's id."""


@frozen
class Address:
    """The place of a message: a chat of a channel, and a thread of the chat if it has threads."""

    channel_type: Id
    """The name of the channel, such as `telegram`."""
    platform_id: Id
    """The network's own id of the chat."""
    thread_id: Name | None = None
    """The network's own id of the thread; None is the chat itself."""
