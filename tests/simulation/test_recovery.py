"""A host at its start recovers hot journals and continues open messages and deliveries."""

import math
from pathlib import Path

from nanoclaw.testing import FakeChannel, World, wire
from tests.host.homes import rows
from tests.simulation.scenarios import run_scenario
from tests.store.openings import leave_hot_journal

SETTLED_S = 10.0


def files(home: Path, name: str) -> list[Path]:
    return sorted((home / "data" / "sessions").glob(f"*/*/{name}"))


def hot_ones(home: Path, name: str) -> list[Path]:
    return [file for file in files(home, name) if Path(f"{file}-journal").exists()]


def test_startup_recovers_the_inbound_file_of_every_session_even_of_idle_ones(
    tmp_path: Path,
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            for n in ("rests", "paused", "archived"):
                await wire(host, network.address(n))
                await network.say("hello", chat=n, event_id=n)
                await network.wait_settled(n)
            _, paused, archived = await host.admin.sessions.list()
            await host.admin.sessions.pause(paused.id)
            await host.admin.sessions.archive(archived.id)
        for file in files(tmp_path, "inbound/inbound.db"):
            leave_hot_journal(file)
        assert len(hot_ones(tmp_path, "inbound/inbound.db")) == 3
        async with world.life(network) as host:
            await world.sleep(SETTLED_S)
            assert hot_ones(tmp_path, "inbound/inbound.db") == []
            assert not host.sessions.nodes()
        for file in files(tmp_path, "inbound/inbound.db"):
            assert rows(file, "PRAGMA integrity_check") == [("ok",)]
            assert rows(file, "SELECT count(*) FROM meta WHERE key LIKE 'half-%'") == [(0,)]

    run_scenario(tmp_path, scenario)


def test_the_runner_rolls_back_the_hot_journal_of_outbound_before_anything_is_read(
    tmp_path: Path,
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, delivery={"backoff_s": (60.0,) * 9}) as host:
            await wire(host, network.address())
            network.fail("unavailable", times=math.inf)
            await network.say("hello", event_id="1")
            await network.wait_attempts(1)
            await world.kill_host()
        network.heal()
        [file] = files(tmp_path, "outbound/outbound.db")
        leave_hot_journal(file)
        async with world.life(network):
            await network.reply_to("1")
        assert len(network.sent) == 1
        assert any("runner recovers" in line for line in world.timeline.lines)

    run_scenario(tmp_path, scenario)


def test_a_reply_is_delivered_even_if_its_session_was_archived_meanwhile(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, delivery={"backoff_s": (3600.0,) * 9}) as host:
            await wire(host, network.address())
            network.fail("unavailable")
            await network.say("hello", event_id="1")
            await network.wait_attempts(1)
            [session] = await host.admin.sessions.list()
            await host.admin.sessions.archive(session.id)
            await world.sleep(60)
        async with world.life(network):
            await network.reply_to("1")
        assert len(network.sent) == 1

    run_scenario(tmp_path, scenario)


def test_each_waiting_chat_is_told_once_that_no_runner_starts_and_answered_later(
    tmp_path: Path,
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        for _ in range(2):
            async with world.life(network, provider="missing") as host:
                for chat in ("ann", "bob"):
                    await wire(host, network.address(chat), session_mode="agent-shared")
                    await network.say("hello", chat=chat, event_id=chat)
                    await network.say("are you there?", chat=chat, event_id=f"{chat}-2")
                await world.sleep(3600)
            assert sorted(one.address.platform_id for one in network.sent) == ["ann", "bob"]
            assert all(one.in_reply_to is None for one in network.sent)
            assert len(network.attempts) == 2
        async with world.life(network):
            for chat in ("ann", "bob"):
                await network.reply_to(chat)
                await network.reply_to(f"{chat}-2")

    run_scenario(tmp_path, scenario)
