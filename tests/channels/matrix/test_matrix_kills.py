"""A host that is killed in the middle of a conversation, in a plain and in an encrypted room."""

from pathlib import Path

import pytest
import trio

from nanoclaw import Address
from tests.channels import killed_host
from tests.channels.matrix.friend import open_friend
from tests.channels.matrix.synapse import PASSWORD, Synapse

KILLS = 2
GUARD_S = 400


def table(server: Synapse, user: str, home: Path) -> str:
    """Return the table of a configuration, with a file for its secret."""
    home.mkdir(exist_ok=True)
    (home / "password").write_text(PASSWORD)
    account = f'homeserver = "{server.base}"\nuser = "{user}"\n'
    return f'[channels.matrix]\n{account}password = {{ file = "password" }}\n'


@pytest.mark.slow
async def test_of_two_hundred_messages_none_is_lost_and_none_answered_twice(
    server: Synapse, tmp_path: Path
) -> None:
    ann, bot, home, total = server.person("ann"), server.person("bot"), tmp_path / "home", 200
    room = ann.opens(bot.user_id)
    await killed_host.prepare(home, table(server, bot.user_id, home), Address("matrix", room))
    expected = [f"echo: {n}" for n in range(total)]

    async def until(answer: str) -> None:
        await trio.to_thread.run_sync(ann.until, lambda: answer in ann.latest(room))

    with trio.fail_after(GUARD_S):
        async with killed_host.running(home):
            await trio.to_thread.run_sync(ann.until, lambda: bot.user_id in ann.members(room))
        for part in range(KILLS):
            async with killed_host.running(home):
                for n in range(part * 100, part * 100 + 100):
                    await trio.to_thread.run_sync(ann.says, room, str(n))
                await until(expected[part * 90])
        async with killed_host.running(home):
            await until(expected[-1])
    assert ann.texts(room, bot.user_id) == expected


@pytest.mark.slow
async def test_in_an_encrypted_room_none_is_lost_and_none_answered_twice(
    server: Synapse, tmp_path: Path
) -> None:
    bot, home, total = server.person("bot"), tmp_path / "home", 40
    async with open_friend(server.person("ann"), tmp_path / "ann") as ann:
        room = await ann.creates(bot.user_id)
        await killed_host.prepare(home, table(server, bot.user_id, home), Address("matrix", room))
        with trio.fail_after(GUARD_S):
            async with killed_host.running(home):
                await ann.awaits(room, bot.user_id)
            for part in range(2):
                async with killed_host.running(home):
                    for n in range(part * 20, part * 20 + 20):
                        await ann.says(room, str(n))
                    await ann.syncs()
            async with killed_host.running(home):
                while not [each for each in ann.seen if each["content"].get("body") == f"echo: {total - 1}"]:
                    await ann.syncs()
    bodies = [each["content"]["body"] for each in ann.seen if each["type"] == "m.room.message"]
    assert bodies == [f"echo: {n}" for n in range(total)]
