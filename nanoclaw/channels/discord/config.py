"""The keys of a table `[channels.<name>]` of the type `discord`."""

from attrs import frozen

from nanoclaw.config.model import KeyConfig

API_BASE = "https://discord.com/api/v10"
GATEWAY = "wss://gateway.discord.gg/"


@frozen
class DiscordConfig:
    """A bot of Discord."""

    token: KeyConfig
    """The place of the bot's token."""
    api_base: str = API_BASE
    """The address of the HTTP API, for tests and proxies."""
    gateway: str = GATEWAY
    """The address of the gateway, for tests and proxies."""
