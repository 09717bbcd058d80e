"""The address of a message."""

from attrs import frozen

from nanoclaw.records.checking import Id, Name

AGENT = "agent"
"""The channel type of messages from agent to agent; the platform id is an agent group's id."""


@frozen
class Address:
    """The place of a message: a chat of a channel, and a thread of the chat if it has threads."""

    channel_type: Id
    platform_id: Id
    thread_id: Name | None = None
