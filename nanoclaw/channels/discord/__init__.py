"""Discord: a bot, on discord.py.

`sdk.py` speaks to discord.py, `receiving.py` and `dialect.py` are pure, `incoming.py` takes events to the
host, `sending.py` delivers, and `channel.py` puts them together.
"""

from nanoclaw.channels.discord.channel import make
from nanoclaw.channels.discord.checking import check
from nanoclaw.channels.discord.config import DiscordConfig
from nanoclaw.channels.factory import ChannelFactory, ChannelSetup, SetupQuestion

DISCORD = ChannelFactory(
    DiscordConfig,
    make,
    ChannelSetup(
        (
            SetupQuestion(
                "token",
                "Bot token",
                secret=True,
                help="At discord.com/developers/applications make an application. On its page Bot press "
                "'Reset Token', copy the token, and switch on 'Message Content Intent'.",
            ),
        ),
        check,
        "Write this code to the bot in a direct message. You find it in the list of members of your server",
    ),
)

__all__ = ["DISCORD"]
