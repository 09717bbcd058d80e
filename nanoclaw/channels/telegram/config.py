"""The table `[channels.telegram]`."""

from typing import Annotated

from attrs import field, frozen

from nanoclaw.config.model import Address, KeyConfig


@frozen
class TelegramConfig:
    """A bot of Telegram."""

    token: KeyConfig = field(repr=False)
    """The place of the bot's token: `{ file = "path" }` or `{ env = "NAME" }`."""
    api_base: Annotated[str, Address()] = "https://api.telegram.org"
    """The server of the Bot API."""
    webhook: Annotated[str, Address()] | None = None
    """The public address at which Telegram reaches `webhook_listen`. Left out, the channel polls."""
    webhook_listen: str = "127.0.0.1:8443"
    """The address and port that take updates if `webhook` is set. A proxy with TLS stands before it."""
