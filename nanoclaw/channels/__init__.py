"""Channels: the adapter protocol, its senders and receivers, and one module a channel."""

from nanoclaw.channels.protocol import Channel, ChannelUnavailable, DeliveryRejected, Repeat, Sender

__all__ = ["Channel", "ChannelUnavailable", "DeliveryRejected", "Repeat", "Sender"]
