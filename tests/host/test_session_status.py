from pathlib import Path

import trio

from nanoclaw.host import open_host
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, only_session, statuses


async def test_a_paused_session_stores_messages_and_answers_when_it_is_resumed(
    tmp_path: Path,
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            [session] = (await channel.say("first", event_id="1")).session_ids
            await channel.reply_to("1")
            await host.admin.sessions.pause(session)
            assert (await channel.say("while paused", event_id="2")).session_ids == (session,)
        assert statuses(tmp_path) == ["completed", "pending"]
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await host.admin.sessions.resume(session)
            await channel.reply_to("2")


async def test_after_an_archived_session_the_next_message_opens_a_new_one(tmp_path: Path) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            [old] = (await channel.say("first", event_id="1")).session_ids
            await channel.reply_to("1")
            await host.admin.sessions.archive(old)
            [new] = (await channel.say("second", event_id="2")).session_ids
            await channel.reply_to("2")
    assert new != old


async def test_presence_is_in_the_central_database_after_the_host_has_stopped(
    tmp_path: Path,
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            [session] = (await channel.say("first", event_id="1")).session_ids
            await channel.reply_to("1")
        async with open_host(config(tmp_path)) as host:
            record = await host.admin.sessions.get(session)
    assert record is not None
    assert (record.container_status, record.last_active is not None) == ("stopped", True)


async def test_a_new_outbound_file_after_a_loss_is_read(tmp_path: Path) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            for n in range(4):  # more answers than the next message's number makes up for
                await channel.say('!send_message {"text": "extra"}', event_id=f"old-{n}")
                await channel.reply_to(f"old-{n}")
                await channel.wait_settled(f"old-{n}")
        only_session(tmp_path).outbound_db.unlink()
        async with open_host(config(tmp_path), channels=[channel]):
            await channel.say("new", event_id="new")
            await channel.reply_to("new")
