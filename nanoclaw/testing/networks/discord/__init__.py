"""A Discord on loopback, to test bots with: the HTTP API, and a gateway whose sessions can be resumed."""

from nanoclaw.testing.networks.discord.network import BOT, FakeDiscord, Pressed
from nanoclaw.testing.networks.discord.server import open_fake_discord

__all__ = ["BOT", "FakeDiscord", "Pressed", "open_fake_discord"]
