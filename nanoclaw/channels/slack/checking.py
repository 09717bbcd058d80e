"""Asks Slack once whether the settings of a channel are right."""

import trio

from nanoclaw.channels.factory import Account, ChannelContext, SetupFailed
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import Secret
from nanoclaw.channels.slack.config import SlackConfig
from nanoclaw.channels.slack.connection import SlackBroke, SlackRefused, open_connection
from nanoclaw.config.errors import ConfigError
from nanoclaw.system.foreign import ungrouped

CHECK_S = 20.0
"""Time limit in seconds."""
_REFUSALS = (ChannelUnavailable, SlackRefused, SlackBroke, ConfigError)


async def check(config: SlackConfig, context: ChannelContext) -> Account:
    """Return the app's account. Raises SetupFailed."""
    del context
    try:
        with ungrouped(*_REFUSALS), trio.fail_after(CHECK_S):
            return await _check(config)
    except _REFUSALS as error:
        raise SetupFailed(str(error)) from error
    except trio.TooSlowError as error:
        raise SetupFailed(f"Slack did not answer within {CHECK_S:g} s") from error


async def _check(config: SlackConfig) -> Account:
    bot, app = await Secret(config.bot_token).read(), await Secret(config.app_token).read()
    for token, prefix, key in ((bot, "xoxb-", "bot_token"), (app, "xapp-", "app_token")):
        if not token.startswith(prefix):
            raise SetupFailed(f"{key} must begin with {prefix}; this is another kind of token")
    async with open_connection(config.api_base, bot, app) as connection:
        who = await connection.call("auth.test")
        await connection.call("apps.connections.open", app_token=app)
    name, team, user = (str(who.get(key) or "") for key in ("user", "team", "user_id"))
    return Account(
        user, f"@{name} in {team}", f"{str(who.get('url') or '').rstrip('/')}/app_redirect?channel={user}"
    )
