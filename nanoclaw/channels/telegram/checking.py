"""The questions of `nanoclaw channels add telegram`, and the call that checks the answers."""

from nanoclaw.channels.factory import Account, ChannelContext, ChannelSetup, SetupFailed, SetupQuestion
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.telegram.config import TelegramConfig
from nanoclaw.channels.telegram.sdk import needs_sdk

QUESTIONS = (
    SetupQuestion(
        "token",
        "The bot's token",
        secret=True,
        help="Write /newbot to @BotFather in Telegram. It asks for two names and answers with the token. "
        "If the assistant shall hear everything in groups, write /setprivacy to it and choose Disable.",
    ),
)


async def check(config: TelegramConfig, _context: ChannelContext) -> Account:
    """Ask Telegram for the bot of the token."""
    try:
        token = await Secret(config.token).read()
        with needs_sdk():
            from nanoclaw.channels.telegram.connection import identity, open_bot  # noqa: PLC0415
        async with open_bot(token, config.api_base) as bot:
            me = await identity(bot)
    except ChannelUnavailable as error:
        raise SetupFailed(str(error)) from error
    return Account(str(me.id), f"@{me.username}", f"https://t.me/{me.username}")


SETUP = ChannelSetup(QUESTIONS, check, "Write this code to the bot in a direct chat")
