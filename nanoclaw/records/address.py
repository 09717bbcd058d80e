"""The address of a message."""

from attrs import frozen

AGENT = "agent"
"""The channel type of messages from agent to agent; the platform id is an agent group's id."""


@frozen
class Address:
    """The place of a message: a chat of a channel, and a thread of the chat if it has threads."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None
