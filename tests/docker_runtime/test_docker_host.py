"""A host whose runners are containers of a real engine: round trips, and its end."""

from pathlib import Path

import trio

from nanoclaw.testing import FakeChannel
from tests.docker_runtime.docker_homes import GUARD_S, containers, docker_host, install_of
from tests.engine.fixtures import EngineForTests


async def test_a_message_is_answered_from_a_container_which_ends_with_its_host(
    tmp_path: Path, engine: EngineForTests
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with docker_host(tmp_path, engine, channel) as host:
            install_id = await install_of(host)
            await channel.say("hello", event_id="e1")
            assert "hello" in str((await channel.reply_to("e1")).content)
            [container] = containers(engine.engine, install_id)
            report = await host.status()
            [session] = report.living_sessions
            assert container["Names"] == [f"/nanoclaw-{install_id}-{session.id}"]
            assert report.runtime_ready
            assert report.runtime_state == f"the container engine answers at {engine.socket}"
    assert containers(engine.engine, install_id) == []


async def test_a_message_whose_container_was_killed_is_answered_by_another(
    tmp_path: Path, engine: EngineForTests
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with docker_host(tmp_path, engine, channel) as host:
            install_id = await install_of(host)
            await channel.say("hello", event_id="e1")
            await channel.reply_to("e1")
            [before] = containers(engine.engine, install_id)
            with engine.engine.client() as client:
                client.kill(before["Id"], "SIGKILL")
            await channel.say("again", event_id="e2")
            assert "again" in str((await channel.reply_to("e2")).content)
            [after] = containers(engine.engine, install_id)
            assert after["Id"] != before["Id"]
    assert [each.in_reply_to for each in channel.sent] == ["e1", "e2"]
