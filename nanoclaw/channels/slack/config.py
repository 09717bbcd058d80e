"""The table of a Slack channel."""

from typing import Annotated

from attrs import field, frozen

from nanoclaw.config.model import Address, KeyConfig


@frozen
class SlackConfig:
    """A Slack app in socket mode."""

    bot_token: KeyConfig = field(repr=False)
    """The place of the bot's token, which begins with `xoxb-`."""
    app_token: KeyConfig = field(repr=False)
    """The place of the app-level token for socket mode, which begins with `xapp-`."""
    api_base: Annotated[str, Address()] = "https://slack.com/api"
    """The address of Slack's Web API."""
