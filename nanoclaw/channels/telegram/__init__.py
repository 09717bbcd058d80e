"""Telegram: a bot on the Bot API. The SDK is imported when the channel connects."""

from nanoclaw.channels.factory import ChannelFactory
from nanoclaw.channels.telegram.channel import TelegramChannel
from nanoclaw.channels.telegram.checking import SETUP
from nanoclaw.channels.telegram.config import TelegramConfig

TELEGRAM = ChannelFactory(TelegramConfig, TelegramChannel.make, SETUP)

__all__ = ["TELEGRAM", "TelegramChannel", "TelegramConfig"]
