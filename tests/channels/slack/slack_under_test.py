"""A Slack channel and the workspace behind it, for the tests of this folder."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

from starlette.responses import JSONResponse, Response

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.slack.channel import SlackChannel, make
from nanoclaw.channels.slack.config import SlackConfig
from nanoclaw.channels.slack.dialect import emoji_of
from nanoclaw.config.model import KeyConfig
from nanoclaw.records import Address
from nanoclaw.testing.conformance import ChannelUnderTest
from nanoclaw.testing.conformance.networks import Thread
from nanoclaw.testing.networks.slack import FakeSlack, open_fake_slack

CHAT, USER = "C1", "U1"


def config(slack: FakeSlack, folder: Path) -> SlackConfig:
    bot, app = folder / "bot", folder / "app"
    bot.write_text(slack.bot_token)
    app.write_text(slack.app_token)
    return SlackConfig(KeyConfig(file=bot), KeyConfig(file=app), slack.api_base)
