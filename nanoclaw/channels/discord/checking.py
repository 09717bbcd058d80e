"""Checks the settings of a bot by asking Discord about it, for `nanoclaw channels add`."""

from typing import Any

import httpx2

from nanoclaw.channels.discord.config import DiscordConfig
from nanoclaw.channels.factory import Account, ChannelContext, SetupFailed
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import Secret

CHECK_S = 15.0
NOT_ALLOWED = (
    "Discord does not let this bot read messages: switch on 'Message Content Intent' at "
    "https://discord.com/developers/applications, on the page Bot of the application"
)
READS_MESSAGES = 1 << 18 | 1 << 19
"""Flags of an application that may read the text of messages."""
PERMISSIONS = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 31 | 1 << 38
"""Add reactions, see channels, send messages, links and files, read the history, use commands and threads."""


async def check(config: DiscordConfig, context: ChannelContext) -> Account:
    """Return the bot's account. Raises SetupFailed."""
    del context
    try:
        token = await Secret(config.token).read()
        async with httpx2.AsyncClient(timeout=CHECK_S, trust_env=True, follow_redirects=False) as client:
            user = await _asked(client, config, "/users/@me", token)
            application = await _asked(client, config, "/applications/@me", token)
    except ChannelUnavailable as error:
        raise SetupFailed(str(error)) from error
    except httpx2.HTTPError as error:
        raise SetupFailed(f"Discord cannot be reached: {error!r:.200}") from error
    if not may_read(application.get("flags")):
        raise SetupFailed(NOT_ALLOWED)
    id_, name = str(user.get("id")), str(user.get("username"))
    return Account(id_, name, invitation(str(application.get("id") or id_)))


def may_read(flags: object) -> bool:
    """Return True if an application with these flags may read the text of messages."""
    return isinstance(flags, int) and flags & READS_MESSAGES != 0


def invitation(application_id: str) -> str:
    """Return the address at which a person lets the bot into a server."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application_id}"
        f"&scope=bot+applications.commands&permissions={PERMISSIONS}"
    )


async def _asked(client: httpx2.AsyncClient, config: DiscordConfig, path: str, token: str) -> dict[str, Any]:
    answer = await client.get(
        f"{config.api_base.rstrip('/')}{path}", headers={"authorization": f"Bot {token}"}
    )
    if answer.status_code == 401:  # noqa: PLR2004 -- unauthorized
        raise SetupFailed(
            "Discord refuses the token: at https://discord.com/developers/applications, on the page Bot of "
            "the application, press 'Reset Token' and copy the new one"
        )
    if not answer.is_success:
        raise SetupFailed(f"Discord answers with status {answer.status_code}; try again later")
    try:
        found = answer.json()
    except ValueError as error:
        raise SetupFailed(f"{config.api_base} does not answer as Discord does") from error
    if not isinstance(found, dict):
        raise SetupFailed(f"{config.api_base} does not answer as Discord does")
    return found
