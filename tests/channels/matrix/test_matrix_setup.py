"""Setting the channel up: the check of `nanoclaw channels add`, and both kinds of secrets."""

from pathlib import Path

import pytest
from attrs import evolve

from nanoclaw import Address
from nanoclaw.channels.factory import ChannelContext, SetupFailed
from nanoclaw.channels.matrix import MATRIX, MatrixChannel, MatrixConfig
from nanoclaw.config.model import KeyConfig
from nanoclaw.testing import MemoryState
from tests.channels.matrix.accounts import channel, matrix_config, running, text
from tests.channels.matrix.synapse import Synapse


async def test_the_check_names_the_account_and_logs_in_once(server: Synapse, tmp_path: Path) -> None:
    bot = server.person("bot")
    config = matrix_config(server.base, bot.user_id, tmp_path)
    assert MATRIX.setup is not None
    before = len(bot.call("GET", "/devices")["devices"])
    account = await MATRIX.setup.check(config, ChannelContext("matrix", tmp_path / "matrix", "UTC", "Ada"))
    async with running(channel(server.base, bot.user_id, tmp_path)):
        pass
    assert account.id == bot.user_id
    assert account.link == f"https://matrix.to/#/{bot.user_id}"
    assert len(bot.call("GET", "/devices")["devices"]) == before + 1


async def test_the_check_says_what_is_wrong(server: Synapse, tmp_path: Path) -> None:
    config = matrix_config(server.base, "nobody", tmp_path)
    context = ChannelContext("matrix", tmp_path / "matrix", "UTC", "Ada")
    assert MATRIX.setup is not None
    with pytest.raises(SetupFailed, match="the account is refused"):
        await MATRIX.setup.check(config, context)
    with pytest.raises(SetupFailed, match="cannot be reached"):
        await MATRIX.setup.check(evolve(config, homeserver="http://127.0.0.1:9"), context)


async def test_an_access_token_needs_no_password(server: Synapse, tmp_path: Path) -> None:
    ann, bot = server.person("ann"), server.person("bot")
    room = ann.opens(bot.user_id)
    bot.joins(room)
    secret = tmp_path / "token"
    secret.write_text(bot.token)
    config = MatrixConfig(server.base, bot.user_id, access_token=KeyConfig(file=secret))
    it = MatrixChannel(config, ChannelContext("matrix", tmp_path / "matrix", "UTC", "Ada"))
    it.use_state(MemoryState())
    async with running(it) as sender:
        await sender.deliver(text(Address("matrix", room), "hello"))
    assert ann.texts(room, bot.user_id) == ["hello"]


def test_the_table_has_exactly_one_secret() -> None:
    place = KeyConfig(env="X")
    for password, access_token in ((None, None), (place, place)):
        with pytest.raises(ValueError, match="either a password or an access_token"):
            MatrixConfig("http://x", "bot", password, access_token)
