"""Settings of a bot are checked by asking Discord, and refused ones say what to do."""

from pathlib import Path

import pytest

from nanoclaw.channels.discord import DISCORD
from nanoclaw.channels.discord.checking import check
from nanoclaw.channels.discord.config import DiscordConfig
from nanoclaw.channels.factory import ChannelContext, SetupFailed
from nanoclaw.config.model import KeyConfig
from nanoclaw.testing.networks.discord import FakeDiscord, open_fake_discord


async def failure(discord: FakeDiscord, folder: Path, token: str = "bot-token") -> str:  # noqa: S107 -- a fake's
    with pytest.raises(SetupFailed) as raised:
        await asked(discord, folder, token)
    assert token not in str(raised.value)
    return str(raised.value)


async def asked(discord: FakeDiscord, folder: Path, token: str = "bot-token") -> str:  # noqa: S107 -- a fake's
    (folder / "token").write_text(token)
    config = DiscordConfig(KeyConfig(file=folder / "token"), discord.api_base, discord.gateway)
    account = await check(config, ChannelContext("discord", folder, "UTC", "Nano"))
    return f"{account.name} {account.link}"


async def test_the_account_is_found_with_a_link_that_invites_it(tmp_path: Path) -> None:
    async with open_fake_discord() as discord:
        found = await asked(discord, tmp_path)
    assert found.startswith("nano https://discord.com/oauth2/authorize?client_id=901&scope=bot+applications")


async def test_what_is_wrong_is_said_with_the_place_to_mend_it(tmp_path: Path) -> None:
    async with open_fake_discord() as discord:
        assert "Reset Token" in await failure(discord, tmp_path, "wrong")
        discord.may_read = False
        assert "Message Content Intent" in await failure(discord, tmp_path)
        with discord.down():
            assert "503" in await failure(discord, tmp_path)
    assert "cannot be reached" in await failure(discord, tmp_path)


def test_it_asks_for_the_token_alone() -> None:
    assert DISCORD.setup is not None
    assert [(each.key, each.secret) for each in DISCORD.setup.questions] == [("token", True)]
