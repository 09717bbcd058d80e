"""Channels: the adapter protocol, its senders and receivers, and one module or package for each channel."""

from nanoclaw.channels.protocol import (
    Capabilities,
    Channel,
    ChannelUnavailable,
    DeliveryRejected,
    Repeat,
    Sender,
)

__all__ = ["Capabilities", "Channel", "ChannelUnavailable", "DeliveryRejected", "Repeat", "Sender"]
