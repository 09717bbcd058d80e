"""A host that is killed in the middle of a conversation, in a plain and in an encrypted room."""

from pathlib import Path

import pytest
import trio

from nanoclaw import Address
from tests.channels import killed_host
from tests.channels.matrix.friend import open_friend
from tests.channels.matrix.synapse import PASSWORD, Synapse

KILLS = 4
GUARD_S = 120


def table(server: Synapse, user: str, home: Path) -> str:
    """Return the table of a configuration, with a file for its secret."""
    home.mkdir(exist_ok=True)
    (home / "password").write_text(PASSWORD)
    return f'[channels.matrix]\nhomeserver = "{server.base}"\nuser = "{user}"\npassword = {{ file = "password" }}\n'


@pytest.mark.slow
async def test_of_two_hundred_messages_none_is_lost_and_none_answered_twice(
    server: Synapse, tmp_path: Path
) -> None:
    ann, bot, home, total = server.person("ann"), server.person("bot"), tmp_path / "home", 200
    room = ann.opens(bot.user_id)
    bot.joins(room)
    await killed_host.prepare(home, table(server, bot.user_id, home), Address("matrix", room))
    expected = [f"echo: {n}" for n in range(total)]

    def answers() -> list[str]:
        return list(ann.texts(room, bot.user_id))

    async def until(wanted: str) -> None:
        while wanted not in await trio.to_thread.run_sync(answers):
            pass

    with trio.fail_after(GUARD_S):
        async with killed_host.running(home):  # what was said before the first start is not answered
            while await trio.to_thread.run_sync(ann.receipt, room, bot.user_id) is None:
                await trio.to_thread.run_sync(ann.says, room, "are you there?")
        for part in range(KILLS):
            async with killed_host.running(home):
                for n in range(part * 50, part * 50 + 50):
                    await trio.to_thread.run_sync(ann.says, room, str(n))
                await until(expected[part * 45])
        async with killed_host.running(home):
            await until(expected[-1])
    assert [each for each in answers() if "there" not in each] == expected


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
