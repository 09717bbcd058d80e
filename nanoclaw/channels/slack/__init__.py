"""Slack: an app in socket mode, on slack_sdk.

`connection.py` speaks to the SDK. `receiving.py` and `dialect.py` are pure. `reading.py` offers events,
`sending.py` delivers, `files.py` moves files, and `channel.py` puts them together.
"""

from nanoclaw.channels.factory import ChannelFactory, ChannelSetup, SetupQuestion
from nanoclaw.channels.slack.channel import make
from nanoclaw.channels.slack.checking import check
from nanoclaw.channels.slack.config import SlackConfig

SLACK = ChannelFactory(
    SlackConfig,
    make,
    ChannelSetup(
        (
            SetupQuestion(
                "bot_token",
                "Bot token",
                secret=True,
                help="Create an app at api.slack.com/apps from the manifest in docs/how-to/connect-slack.md, "
                "install it, and copy the Bot User OAuth Token, which begins with xoxb-.",
            ),
            SetupQuestion(
                "app_token",
                "App-level token",
                secret=True,
                help="Under Basic Information, App-Level Tokens, make one with the scope connections:write. "
                "It begins with xapp-.",
            ),
        ),
        check,
        "Open a direct message to the app in Slack, and write this code",
    ),
)

__all__ = ["SLACK"]
